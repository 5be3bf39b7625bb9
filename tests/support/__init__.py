"""What tests share: running the tap, the data to expect, and a simulated clock."""

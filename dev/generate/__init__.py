"""What is generated from the tap: `python -m dev.generate` brings it up to date."""

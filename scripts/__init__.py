"""What is generated from the tap: `python -m scripts` brings it up to date."""

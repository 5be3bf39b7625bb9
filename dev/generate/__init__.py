"""Texts generated from the tap; `python -m dev.generate` updates them."""

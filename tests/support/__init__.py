"""Shared by tests: running the tap, expected data, and a simulated clock."""

"""Benchmarks of the tap against other ways to get the same data (`make bench`)."""

"""Slow tests: faults of servers, disks and processes, with the real command."""

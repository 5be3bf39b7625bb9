"""Slow tests: faults of servers, disks and processes, met by the command."""

"""Slow: every fault of a server, a disk or a process, through the command."""

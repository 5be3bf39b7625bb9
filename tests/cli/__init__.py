"""Tests that run the command as its users do."""

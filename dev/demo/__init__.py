"""A pipeline on this machine: mock Voucherify, tap, Meltano, DuckDB."""

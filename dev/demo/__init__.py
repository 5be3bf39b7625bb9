"""A local pipeline: mock Voucherify, tap, Meltano, DuckDB."""

"""A pipeline on this machine alone: stand-in for Voucherify -> tap -> Meltano -> DuckDB."""

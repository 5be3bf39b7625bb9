"""DuckDB, which infers formats from file names."""

from __future__ import annotations

import sys

import duckdb

from .download import download

url, target = sys.argv[1:]
duckdb.execute(f"COPY (FROM '{download(url, target)}') TO '{target}'")

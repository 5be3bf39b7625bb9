"""polars."""

from __future__ import annotations

import sys

import polars as pl

from .download import download

url, target = sys.argv[1:]
rows = pl.scan_csv(download(url, target))
if target.endswith(".parquet"):
    rows.sink_parquet(target)
else:
    rows.sink_ndjson(target)

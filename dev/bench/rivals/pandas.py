"""pandas."""

from __future__ import annotations

import sys

import pandas as pd

url, target = sys.argv[1:]
rows = pd.read_csv(url, low_memory=False)
if target.endswith(".parquet"):
    rows.to_parquet(target)
else:
    rows.to_json(target, orient="records", lines=True)

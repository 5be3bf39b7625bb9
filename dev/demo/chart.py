"""Redemptions by day and result, as bars in a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    import duckdb

DAYS = 14
BAR_CELLS = 40

BY_DAY = f"""
    SELECT
        created_at::DATE::VARCHAR AS day,
        count(*) FILTER (result = 'SUCCESS') AS succeeded,
        count(*) FILTER (result = 'FAILURE') AS failed
    FROM redemptions
    GROUP BY day
    ORDER BY day DESC
    LIMIT {DAYS}
"""


def redemptions_by_day(database: duckdb.DuckDBPyConnection) -> Iterator[str]:
    """Yield the lines of the chart: the last two weeks, oldest day first."""
    days = database.execute(BY_DAY).fetchall()[::-1]
    most = max(succeeded + failed for _, succeeded, failed in days)
    yield f"{'':10}  {'█'} succeeded  {'░'} failed"
    for day, succeeded, failed in days:
        full = round(succeeded / most * BAR_CELLS)
        light = round((succeeded + failed) / most * BAR_CELLS) - full
        yield f"{day}  {'█' * full}{'░' * light}  {succeeded} + {failed}"

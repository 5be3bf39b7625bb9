"""Backfill Voucherify month by month, several months at once.

Each month is a task: one run of the tap over `[start_date, end_date)`, with its own state and
folder. docs/airflow.md has the rules.
"""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

from airflow.providers.standard.operators.bash import BashOperator
from airflow.sdk import Param, dag, task

#: The folder of meltano.yml.
PROJECT = Path(__file__).resolve().parent.parent

#: Streams without a time to shard by: every shard would read all of them.
FULL_TABLE_STREAMS = (
    "points_expirations",
    "products",
    "skus",
    "campaigns",
    "validation_rules",
    "validation_rule_assignments",
    "promotion_tiers",
)

# `meltano el` gives each run a folder. `meltano run` keeps the tap's catalog and state in one
# folder for all runs, whatever their state IDs, and so would mix up the shards.
LOAD = " ".join(
    (
        "meltano el tap-voucherify target-jsonl",
        "--no-install",
        "--state-id=voucherify-backfill-$SHARD",
        *(f"--exclude={stream}" for stream in FULL_TABLE_STREAMS),
    )
)


def next_month(month: str) -> str:
    """Return the month after `YYYY-MM`."""
    year, number = map(int, month.split("-"))
    return f"{year + number // 12}-{number % 12 + 1:02}"


def month_param(description: str) -> Param:
    """Return a parameter that takes a month."""
    return Param(
        description=description,
        type="string",
        pattern=r"^20\d\d-(0[1-9]|1[0-2])$",
    )


@dag(
    schedule=None,
    params={
        "first_month": month_param("The first month to load"),
        "last_month": month_param("The last month to load"),
        "output": Param("output", "The folder in which each month gets its own", type="string"),
    },
)
def voucherify_backfill() -> None:
    """Load each month in a separate run."""

    @task
    def shards(params: dict[str, Any]) -> list[dict[str, str]]:
        """Return the environment variables of each month's run."""
        starts = [params["first_month"]]
        while starts[-1] <= params["last_month"]:
            starts.append(next_month(starts[-1]))
        if len(starts) == 1:
            raise ValueError("first_month must not be after last_month")
        return [
            {
                "SHARD": start,
                "TAP_VOUCHERIFY_START_DATE": f"{start}-01T00:00:00Z",
                "TAP_VOUCHERIFY_END_DATE": f"{end}-01T00:00:00Z",
                "TARGET_JSONL_DESTINATION_PATH": f"{params['output']}/{start}",
            }
            for start, end in pairwise(starts)
        ]

    BashOperator.partial(
        task_id="load",
        bash_command=LOAD,
        cwd=str(PROJECT),
        append_env=True,
        map_index_template="{{ task.env['SHARD'] }}",
        # This many shards at once, each with up to `max_concurrent_exports` exports.
        max_active_tis_per_dagrun=4,
    ).expand(env=shards())


voucherify_backfill()

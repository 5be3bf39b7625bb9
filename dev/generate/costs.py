"""README's table of API calls per month."""

from __future__ import annotations

from decimal import ROUND_UP, Decimal

from dev.generate.tables import table
from tap_voucherify.list_streams import LIST_STREAMS

#: Calls of one run for the lists, if none has more than a hundred objects.
LIST_CALLS = len(LIST_STREAMS)

#: Most calls of one run of the default streams, by how long each of the seven exports takes.
CALLS_PER_RUN = {"ready at once": 16 + LIST_CALLS, "a minute each": 30 + LIST_CALLS}

RUNS_PER_MONTH = {"hourly": 31 * 24, "nightly": 31}

#: Calls in a billing month.
QUOTAS = {"Business": 100_000, "Organization": 300_000}


def costs_table() -> str:
    """Return the most calls a month of each schedule, and their share of each plan's quota."""
    plans = (f"of {plan}'s {quota:,}" for plan, quota in QUOTAS.items())
    return table(("Schedule", "Calls per month", *plans), map(_schedule_row, RUNS_PER_MONTH))


def _schedule_row(schedule: str) -> tuple[str, ...]:
    monthly = [calls * RUNS_PER_MONTH[schedule] for calls in CALLS_PER_RUN.values()]
    return (
        schedule,
        " to ".join(f"{calls:,}" for calls in monthly),
        *(
            " to ".join(f"{_percent(calls, quota)} %" for calls in monthly)
            for quota in QUOTAS.values()
        ),
    )


def _percent(calls: int, quota: int) -> Decimal:
    """Return a share in percent, rounded up since it is a bound."""
    return (Decimal(100 * calls) / quota).quantize(Decimal("0.1"), ROUND_UP)

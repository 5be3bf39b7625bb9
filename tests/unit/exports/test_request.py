"""The parameters of an export request."""

from __future__ import annotations

import datetime as dt

from tap_voucherify.exports.request import ExportRequest
from tap_voucherify.windows import Window

NOON = dt.datetime(2026, 8, 1, 12, tzinfo=dt.timezone.utc)

WHOLE = ExportRequest("vouchers", "voucher", ("id", "code"))
FIRST_OF_AUGUST = Window(NOON.replace(hour=0), NOON.replace(day=2, hour=0))
WINDOWED = ExportRequest(
    "vouchers",
    "voucher",
    ("id", "code"),
    order="created_at",
    window=FIRST_OF_AUGUST,
    filter_field="created_at",
    resumable=True,
)


def test_a_whole_table_has_no_filter() -> None:
    """Only the fields are requested, in order."""
    assert WHOLE.parameters == {"fields": ["id", "code"]}
    assert str(WHOLE) == "vouchers"


def test_a_window_is_requested_with_a_margin() -> None:
    """The filter has one more second on each side; rows are requested in order."""
    assert WINDOWED.parameters == {
        "fields": ["id", "code"],
        "order": "created_at",
        "filters": {
            "junction": "and",
            "created_at": {
                "conditions": {
                    "$after": ["2026-07-31T23:59:59.000Z"],
                    "$before": ["2026-08-02T00:00:01.000Z"],
                }
            },
        },
    }


def test_an_unbounded_window_has_no_filter() -> None:
    """A first run without a start date requests everything."""
    request = ExportRequest("vouchers", "voucher", ("id",), filter_field="created_at")
    assert "filters" not in request.parameters


def test_extra_parameters_do_not_loosen_the_window() -> None:
    """Extra filters are joined to the window by "and", even if they set another junction."""
    extra = {
        "campaign_id": "camp_1",
        "filters": {"junction": "or", "code": {"conditions": {"$is": ["A"]}}},
    }
    request = ExportRequest(
        "vouchers",
        "voucher",
        ("id",),
        window=FIRST_OF_AUGUST,
        filter_field="created_at",
        extra_parameters=extra,
    )
    parameters = request.parameters
    assert parameters["campaign_id"] == "camp_1"
    assert set(parameters["filters"]) == {"junction", "code", "created_at"}
    assert parameters["filters"]["junction"] == "and"
    assert extra["filters"] == {"junction": "or", "code": {"conditions": {"$is": ["A"]}}}


def test_a_request_can_be_made_for_another_window() -> None:
    """Part of a window is requested like the whole."""
    part = Window(FIRST_OF_AUGUST.start, NOON)
    moved = WINDOWED.over(part)
    assert moved.window == part
    assert moved.over(FIRST_OF_AUGUST) == WINDOWED
    assert str(moved) == (
        "vouchers created from 2026-08-01T00:00:00.000Z before 2026-08-01T12:00:00.000Z"
    )

"""Exports that a killed run has left unfinished are resumed, not created again."""

from __future__ import annotations

import datetime as dt
import logging
import typing as t

from tap_voucherify.errors import RequestError, TransientError
from tap_voucherify.instants import EPOCH, is_instant, parse_instant

if t.TYPE_CHECKING:
    from collections.abc import Mapping

    from tap_voucherify.api.client import Client
    from tap_voucherify.clock import Clock

UNFINISHED = ("SCHEDULED", "IN_PROGRESS")

logger = logging.getLogger("tap-voucherify.exports")


class LeftBehind:
    """The unfinished exports that Voucherify lists at the start of a run.

    A finished one may have been read already, and reading it again would hide what is
    newer, so it is not among them.
    """

    def __init__(self, client: Client, clock: Clock, max_age_seconds: float) -> None:
        """Prepare, without a request.

        Args:
            client: Makes the one call.
            clock: Makes those who ask at the same time wait for one list.
            max_age_seconds: How old they may be; 0 leaves all of them alone.
        """
        self._client = client
        self._max_age_seconds = max_age_seconds
        self._exports: list[dict[str, t.Any]] | None = None if max_age_seconds else []
        self._listing = clock.condition()

    def take(self, wanted: Mapping[str, t.Any]) -> dict[str, t.Any] | None:
        """Return the export of exactly this object and these parameters, once.

        Args:
            wanted: The body of the call that would create it.
        """
        with self._listing:
            if self._exports is None:
                self._exports = self._list()
            for export in self._exports:
                if _normalise(export) == _normalise(wanted):
                    self._exports.remove(export)
                    return export
        return None

    def _list(self) -> list[dict[str, t.Any]]:
        newest = {"limit": "100", "order": "-created_at"}
        try:
            answer = self._client.call("list", "GET", "/v1/exports", params=newest)
        except (RequestError, TransientError) as error:
            logger.warning("Exports of an earlier run cannot be looked for: %s", error)
            return []
        oldest = EPOCH + dt.timedelta(seconds=answer.server_time - self._max_age_seconds)
        exports = answer.content.get("exports")
        return [
            export
            for export in (exports if isinstance(exports, list) else [])
            if isinstance(export, dict)
            and isinstance(export.get("id"), str)
            and export.get("status") in UNFINISHED
            and created_at(export, 0) > oldest
        ]


def created_at(export: Mapping[str, t.Any], otherwise: float) -> dt.datetime:
    """When the server created an export, or else so many seconds after 1970."""
    value = export.get("created_at")
    if is_instant(value):
        return parse_instant(t.cast("str", value))
    return EPOCH + dt.timedelta(seconds=otherwise)


def _normalise(export: Mapping[str, t.Any]) -> dict[str, t.Any]:
    """Reduce an export to what was asked for, in the one form of a request.

    The reference's echo says `filters`, the guide's says `filter`; both tell a junction
    even where there is nothing to join.
    """
    told = export.get("parameters")
    parameters = {
        "filters" if name == "filter" else name: value
        for name, value in (told.items() if isinstance(told, dict) else ())
        if value and name != "response_format"
    }
    if parameters.get("filters") == {"junction": "and"}:
        del parameters["filters"]
    return {"exported_object": export.get("exported_object"), "parameters": parameters}

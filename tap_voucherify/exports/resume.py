"""Resume exports that an interrupted run left unfinished."""

from __future__ import annotations

import datetime as dt
import logging
import typing as t

from tap_voucherify.api.voucherify import OPTIONAL_RETRY_SECONDS
from tap_voucherify.errors import RequestError, TransientError

if t.TYPE_CHECKING:
    from tap_voucherify.api.export import Export
    from tap_voucherify.api.voucherify import Voucherify
    from tap_voucherify.clock import Clock
    from tap_voucherify.exports.request import ExportRequest

logger = logging.getLogger("tap-voucherify.exports")


class UnfinishedExports:
    """Unfinished exports found at the start of a run.

    Finished ones are never reused: they may already have been read, and reusing one would hide
    newer rows.

    Args:
        api: Voucherify's API.
        clock: Provides the lock that lets concurrent callers share one listing.
        max_age_seconds: Maximum age; 0 disables resuming.
    """

    def __init__(self, api: Voucherify, clock: Clock, max_age_seconds: float) -> None:
        self._api = api
        self._max_age = dt.timedelta(seconds=max_age_seconds)
        self._exports: list[Export] | None = None if max_age_seconds else []
        self._listing = clock.condition()

    def claim(self, request: ExportRequest) -> Export | None:
        """Claim an unfinished export with exactly these parameters, or return None."""
        if not request.resumable:
            return None
        with self._listing:
            if self._exports is None:
                self._exports = self._list()
            for export in self._exports:
                if (
                    export.exported_object == request.exported_object
                    and export.parameters == request.parameters
                ):
                    self._exports.remove(export)
                    logger.info("%s: resuming export %s", request, export.id)
                    return export
        return None

    def check_echo(self, request: ExportRequest, created: Export) -> None:
        """Stop resuming if a create response lacks a parameter: the list may lack it too."""
        if created.parameters != request.parameters:
            with self._listing:
                self._exports = []

    def _list(self) -> list[Export]:
        try:
            exports, server_time = self._api.list_exports(max_retry_seconds=OPTIONAL_RETRY_SECONDS)
        except (RequestError, TransientError) as error:
            logger.warning("Could not list existing exports, so none will be resumed: %s", error)
            return []
        return [
            export
            for export in exports
            if not export.status.is_final and export.created_at > server_time - self._max_age
        ]

"""What all streams of one run share."""

from __future__ import annotations

import contextlib
import datetime as dt
import functools
import logging
import typing as t

from tap_voucherify.api.client import Client
from tap_voucherify.api.credentials import (
    AccessToken,
    Credentials,
    KeyPair,
    RenewableToken,
    TrustedHosts,
)
from tap_voucherify.api.rate_limit import RateLimit
from tap_voucherify.api.voucherify import Voucherify
from tap_voucherify.errors import AccountError, SettingsError, StreamError, one_line
from tap_voucherify.exports.job import ExportRunner
from tap_voucherify.exports.prefetch import ExportPrefetcher
from tap_voucherify.exports.request import ExportRequest
from tap_voucherify.exports.workers import ExportWorkers
from tap_voucherify.files.metadata import schemas_by_object
from tap_voucherify.files.rows import CsvRows
from tap_voucherify.instants import EPOCH, parse_instant
from tap_voucherify.settings import API_URLS
from tap_voucherify.windows import Bounds, Window

if t.TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from singer_sdk.exceptions import SingerSDKError

    from tap_voucherify.clock import Clock
    from tap_voucherify.redaction import SecretFilter
    from tap_voucherify.singer.signals import StopFlag
    from tap_voucherify.validation import Problem

logger = logging.getLogger("tap-voucherify")

# No object was created in this range, so an export of it shows what one without rows looks like.
EMPTY_RANGE = Window(EPOCH, EPOCH + dt.timedelta(seconds=1))
EMPTY_EXPORT = ExportRequest(
    stream="empty export",
    exported_object="customer",
    fields=("id",),
    window=EMPTY_RANGE,
    filter_field="created_at",
)


class Session:
    """The clock, the API, the exports, the bounds, and the warnings and failures of a run.

    Attributes:
        clock: The clock.
        stop: Set by a signal.
        failed_streams: Names of the streams that failed.
        asks_for_schemas: Whether metadata schemas are fetched; a catalog has its own types.
        is_discovery: Whether a failure to fetch them is only a warning.

    Args:
        config: The settings.
        problems: What is wrong with them; discovery works without valid settings.
        clock: The clock.
        stop: Set by a signal.
        secrets: Masks secrets; learns each new token.
        plan: Returns the exports of every selected stream, in the order they are read.
        scopes: Returns the OAuth scopes that selected streams need besides `exports`.
    """

    def __init__(  # noqa: PLR0913 - keyword-only
        self,
        config: Mapping[str, t.Any],
        *,
        problems: Sequence[Problem] = (),
        clock: Clock,
        stop: StopFlag,
        secrets: SecretFilter,
        plan: Callable[[], Iterable[tuple[str, list[ExportRequest]]]],
        scopes: Callable[[], Iterable[str]],
    ) -> None:
        self.clock = clock
        self.stop = stop
        self.failed_streams: list[str] = []
        self.asks_for_schemas = True
        self.is_discovery = False
        self._config = config
        self._problems = problems
        self._secrets = secrets
        self._plan = plan
        self._scopes = scopes
        self._warnings: set[tuple[str, str]] = set()

    @property
    def now(self) -> dt.datetime:
        """The current time."""
        return EPOCH + dt.timedelta(seconds=self.clock.now())

    @functools.cached_property
    def bounds(self) -> Bounds:
        """Settings that limit the run."""
        start, end = (self._config.get(name) for name in ("start_date", "end_date"))
        return Bounds(
            parse_instant(start) if start else None,
            parse_instant(end) if end else None,
            dt.timedelta(seconds=float(self._config["lookback_seconds"])),
            self._config.get("window_days"),
        )

    @functools.cached_property
    def client(self) -> Client:
        """The HTTP client.

        Raises:
            SettingsError: If the settings are invalid.
        """
        if self._problems:
            raise SettingsError("; ".join(map(str, self._problems)))
        config = self._config
        api_url = config.get("api_url") or API_URLS[config["region"]]
        return Client(
            api_url=api_url,
            credentials=self._credentials,
            hosts=TrustedHosts(api_url, config.get("download_host") or ""),
            rate_limit=RateLimit(self.clock, config["rate_limit_reserve_percent"] / 100),
            clock=self.clock,
            request_timeout_seconds=float(config["request_timeout_seconds"]),
            max_retry_seconds=float(config["max_retry_seconds"]),
            redact=self._secrets.redact,
        )

    @functools.cached_property
    def api(self) -> Voucherify:
        """Voucherify's API."""
        return Voucherify(self.client, self.clock)

    @property
    def _credentials(self) -> Credentials:
        if self._config.get("access_token"):
            return AccessToken(self._config["access_token"])
        key_pair = KeyPair(self._config["app_id"], self._config["app_token"])
        if not self._config["use_oauth"]:
            return key_pair

        def issue() -> tuple[str, float]:
            scopes = ["exports", *self._scopes()]
            if self._config["typed_metadata"]:
                scopes.append("metadata-schemas")
            token, seconds = self.api.issue_token(key_pair, " ".join(scopes))
            self._secrets.add(token)
            return token, seconds

        return RenewableToken(issue, self.clock)

    @functools.cached_property
    def runner(self) -> ExportRunner:
        """Runs single exports."""
        return ExportRunner(
            self.api,
            self.clock,
            poll_interval_seconds=float(self._config["poll_interval_seconds"]),
            export_timeout_seconds=float(self._config["export_timeout_seconds"]),
            resume_exports=self._config["resume_exports"],
        )

    @functools.cached_property
    def exports(self) -> ExportPrefetcher:
        """The exports of all selected streams, prefetched in the order they are read."""
        exports = self.prefetcher(deletes=self._config["delete_exports"])
        for stream, requests in self._plan():
            exports.plan(stream, requests)
        return exports

    def prefetcher(self, *, deletes: bool) -> ExportPrefetcher:
        """Return a prefetcher; with `deletes`, it deletes exports that have been read."""
        workers = ExportWorkers(
            self.runner.run,
            self.clock,
            limit=self._config["max_concurrent_exports"],
            check_interruption=self.stop.check,
            on_read=self.runner.delete if deletes else None,
        )
        return ExportPrefetcher(workers)

    def export_headers(self, requests: Sequence[ExportRequest]) -> list[list[str]]:
        """Run exports and return the cells of their headers; empty for a file of 0 bytes."""
        prefetcher = self.prefetcher(deletes=True)
        prefetcher.plan("headers", requests)
        headers = [
            [] if exported.has_empty_file else CsvRows(exported.files[0]).header
            for exported in prefetcher.read("headers")
        ]
        prefetcher.finish()
        return headers

    @functools.cached_property
    def empty_exports_have_no_header(self) -> bool:
        """Whether the file of an export without rows has 0 bytes; runs one to find out."""
        return self.export_headers([EMPTY_EXPORT]) == [[]]

    def metadata_schemas(self, exported_object: str) -> dict[str, t.Any]:
        """Return the JSON schemas of an object's metadata keys, if they are to be typed."""
        if not self._config.get("typed_metadata") or not self.asks_for_schemas:
            return {}
        return self._metadata_schemas.get(exported_object, {})

    @functools.cached_property
    def _metadata_schemas(self) -> dict[str, dict[str, t.Any]]:
        try:
            return schemas_by_object(self.api.metadata_schemas())
        except (AccountError, SettingsError, StreamError) as error:
            if not self.is_discovery:
                raise
            logger.warning("typed_metadata: declaring every metadata key as text: %s", error)
            return {}

    def warn_once(self, stream: str, message: str) -> None:
        """Log a warning about a stream, unless it was logged before."""
        if (stream, message) not in self._warnings:
            self._warnings.add((stream, message))
            logger.warning("%s: %s", stream, message)

    @contextlib.contextmanager
    def failing(self, stream: str) -> Iterator[None]:
        """Let a `StreamError` inside the block fail this stream only."""
        try:
            yield
        except StreamError as error:
            self.fail_stream(stream, error)

    def fail_stream(self, stream: str, error: SingerSDKError) -> None:
        """Log the failure of a stream on one line; the others continue."""
        self.failed_streams.append(stream)
        logger.error(
            "Stream '%s' failed: %s",
            stream,
            one_line(error),
            exc_info=logger.isEnabledFor(logging.DEBUG),
        )

    def finish(self) -> None:
        """Wait for pending deletions and end the workers."""
        self.exports.finish()

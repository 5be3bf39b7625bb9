"""The tap: settings, their cross-checks, the list of streams, the command line."""

from __future__ import annotations

import datetime as dt
import functools
import logging
import sys
import typing as t
from urllib.parse import urlsplit

import singer_sdk.typing as th
from singer_sdk import Tap
from singer_sdk.exceptions import SingerSDKError
from singer_sdk.helpers._util import load_json
from singer_sdk.plugin_base import JSONSchemaValidator, SingerCommand, _ConfigInput

from tap_voucherify.client import Client
from tap_voucherify.clock import Clock
from tap_voucherify.credentials import (
    API_URLS,
    AccessToken,
    Credentials,
    KeyPair,
    TrustedHosts,
    is_loopback,
)
from tap_voucherify.errors import Interruption, SettingsError
from tap_voucherify.exports import ExportRunner
from tap_voucherify.interruption import StopRequest
from tap_voucherify.messages import MessageWriter
from tap_voucherify.rate_limit import RateLimit
from tap_voucherify.redaction import Redaction
from tap_voucherify.run_ahead import RunAhead
from tap_voucherify.streams import STREAMS
from tap_voucherify.windows import EPOCH, Bounds, parse_instant

if t.TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType, TracebackType

    import click
    from jsonschema import ValidationError

    from tap_voucherify.stream import ExportStream

SECRETS = ("app_id", "app_token", "access_token")


class TapVoucherify(Tap):
    """Moves vouchers, redemptions, customers and more out of Voucherify.

    It reads them through Voucherify's asynchronous Exports API.
    """

    name = "tap-voucherify"
    message_writer_class = MessageWriter
    clock_class: t.ClassVar[type[Clock]] = Clock
    redaction: t.ClassVar[Redaction] = Redaction()

    config_jsonschema: t.ClassVar[dict[str, t.Any]] = th.PropertiesList(
        th.Property(
            "app_id",
            th.StringType,
            secret=True,
            title="Application ID",
            description="ID of the application (Project Settings > Application Keys).",
        ),
        th.Property(
            "app_token",
            th.StringType,
            secret=True,
            title="Secret key",
            description="Server-side secret key of the application.",
        ),
        th.Property(
            "access_token",
            th.StringType,
            secret=True,
            title="OAuth 2.0 token",
            description="OAuth 2.0 token, in place of the application ID and secret key.",
        ),
        th.Property(
            "region",
            th.StringType,
            default="eu",
            allowed_values=list(API_URLS),
            title="Region",
            description="Region of the account: eu, us or as.",
        ),
        th.Property(
            "api_url",
            th.StringType,
            title="API URL",
            description="Address of a dedicated cluster's API, in place of the region.",
        ),
        th.Property(
            "download_host",
            th.StringType,
            title="Download host",
            description="Host of a dedicated cluster's files, if it is neither the API's "
            "own nor under voucherify.io.",
        ),
        th.Property(
            "start_date",
            th.DateTimeType,
            title="Start date",
            description="Earliest creation time to extract (inclusive, UTC).",
        ),
        th.Property(
            "end_date",
            th.DateTimeType,
            title="End date",
            description="Creation time at which to stop (exclusive, UTC).",
        ),
        th.Property(
            "lookback_seconds",
            th.NumberType(minimum=0),
            default=60,
            title="Lookback",
            description="Seconds before the bookmark from which each run reads again, "
            "for what reaches Voucherify's data late.",
        ),
        th.Property(
            "window_days",
            th.IntegerType(minimum=1),
            title="Window size",
            description="Splits what a run extracts into exports of so many days.",
        ),
        th.Property(
            "max_concurrent_exports",
            th.IntegerType(minimum=1, maximum=100),
            default=4,
            title="Concurrent exports",
            description="How many exports may be unfinished or unread at once.",
        ),
        th.Property(
            "poll_interval_seconds",
            th.NumberType(exclusive_minimum=0),
            default=1,
            title="Poll interval",
            description="Seconds before an export is first asked for its status.",
        ),
        th.Property(
            "export_timeout_seconds",
            th.NumberType(exclusive_minimum=0),
            default=3600,
            title="Export timeout",
            description="Seconds that one export may take, its download included.",
        ),
        th.Property(
            "request_timeout_seconds",
            th.NumberType(exclusive_minimum=0),
            default=60,
            title="Request timeout",
            description="Seconds that a server may stay silent.",
        ),
        th.Property(
            "rate_limit_reserve",
            th.NumberType(minimum=0, maximum=1),
            default=0.1,
            title="Rate limit reserve",
            description="Share of the account's rate limit to leave to others, 0 to 1.",
        ),
    ).to_dict()

    def __init__(self, **arguments: t.Any) -> None:
        """Take the SDK's arguments; see `singer_sdk.Tap`."""
        self.stop_request = StopRequest(lambda: self._writer.progress)
        self.clock = self.clock_class()
        self.failed_streams: list[str] = []
        self._warnings: set[tuple[str, str]] = set()
        super().__init__(**arguments)

    @property
    def _writer(self) -> MessageWriter:
        return t.cast("MessageWriter", self.message_writer)

    @functools.cached_property
    def bounds(self) -> Bounds:
        """The settings that limit what a run asks for."""
        start, end = (self.config.get(name) for name in ("start_date", "end_date"))
        return Bounds(
            parse_instant(start) if start else None,
            parse_instant(end) if end else None,
            dt.timedelta(seconds=float(self.config["lookback_seconds"])),
            self.config.get("window_days"),
        )

    @property
    def now(self) -> dt.datetime:
        """The present, by this tap's clock."""
        return EPOCH + dt.timedelta(seconds=self.clock.now())

    @functools.cached_property
    def client(self) -> Client:
        """What makes the calls."""
        config = self.config
        api_url = config.get("api_url") or API_URLS[config["region"]]
        return Client(
            api_url=api_url,
            credentials=_credentials(config),
            hosts=TrustedHosts(api_url, config.get("download_host") or ""),
            rate_limit=RateLimit(self.clock, float(config["rate_limit_reserve"])),
            clock=self.clock,
            request_timeout_seconds=float(config["request_timeout_seconds"]),
            longest_wait_seconds=float(config["export_timeout_seconds"]),
        )

    @functools.cached_property
    def exports(self) -> RunAhead:
        """The exports of all selected streams, running ahead of their reader."""
        runner = ExportRunner(
            self.client,
            self.clock,
            poll_interval_seconds=float(self.config["poll_interval_seconds"]),
            export_timeout_seconds=float(self.config["export_timeout_seconds"]),
        )
        exports = RunAhead(
            runner.run,
            self.clock,
            max_concurrent_exports=self.config["max_concurrent_exports"],
            check_interruption=self.stop_request.check,
        )
        for stream in self.streams.values():
            if stream.selected:
                exports.plan(stream.name, t.cast("ExportStream", stream).requests())
        return exports

    def discover_streams(self) -> list[ExportStream]:
        """Return one stream for each exported object."""
        return [stream_class(self) for stream_class in STREAMS]

    def load_state(self, state: dict[str, t.Any]) -> None:
        """Take over a state.

        Raises:
            SettingsError: If a bookmark is no time.
        """
        super().load_state(state)
        for name, bookmark in self.state.get("bookmarks", {}).items():
            value = bookmark.get("replication_key_value")
            if value is not None and not _is_instant(value):
                raise SettingsError(
                    f"state: the bookmark of stream '{name}' must be an ISO 8601 time"
                )

    def note_failure(self, stream: str, error: SingerSDKError) -> None:
        """Tell that a stream failed, in one line; the run goes on with the others."""
        self.failed_streams.append(stream)
        self.logger.error(
            "Stream '%s' failed: %s",
            stream,
            error,
            exc_info=self.logger.isEnabledFor(logging.DEBUG),
        )

    def warn_once(self, stream: str, message: str) -> None:
        """Warn about something that concerns a whole stream."""
        if (stream, message) not in self._warnings:
            self._warnings.add((stream, message))
            self.logger.warning("%s: %s", stream, message)

    def run(self) -> int:
        """Sync all streams and return the exit code."""
        try:
            self.sync_all()
        except Interruption as stop:
            self.logger.warning("%s; the last STATE covers all that was written", stop)
            return stop.exit_code
        finally:
            self.clock.stop()
            if self.state:
                self.state_writer.write_state(self.state)
            self._writer.flush()
            self.logger.info("%s", self.client.summary)
        return 1 if self.failed_streams else 0

    @classmethod
    def invoke(  # type: ignore[override] # the SDK's own override differs as well
        cls,
        *,
        about: bool = False,
        about_format: str | None = None,
        config: _ConfigInput | None = None,
        state: t.IO[str] | None = None,
        catalog: t.IO[str] | None = None,
    ) -> None:
        """Run the tap's main command; see `singer_sdk.Tap.invoke`."""
        super(Tap, cls).invoke(about=about, about_format=about_format)
        cls.print_version(print_fn=cls.logger.info)
        config = config or _ConfigInput()
        tap = cls(
            config=config.config,
            state=_read_json(state, "--state"),
            catalog=_read_json(catalog, "--catalog"),
            parse_env_config=config.parse_env,
        )
        sys.exit(tap.run())

    @classmethod
    def get_singer_command(cls) -> click.Command:
        """Return the SDK's command, with errors told in one line each."""
        command = super().get_singer_command()
        return TapCommand(
            name=command.name,
            callback=command.callback,
            params=command.params,
            help=command.help,
            context_settings=command.context_settings,
            logger=cls.logger,
            redaction=cls.redaction,
        )

    def _validate_config(self, *, raise_errors: bool = True) -> list[str]:
        """Check the settings in words of ours: the SDK's quote the value.

        Raises:
            SettingsError: If a setting breaks a rule.
        """
        schema = self.config_jsonschema
        self.append_builtin_config(schema)
        for name in [name for name, value in self._config.items() if value is None]:
            del self._config[name]
        for secret in SECRETS:
            self.redaction.add(self._config.get(secret))
        validator = JSONSchemaValidator(schema)
        problems = [*map(_explain, validator.iter_errors(self._config))]
        problems = problems or [*_broken_rules(self._config)]
        if problems and raise_errors:
            raise SettingsError("; ".join(problems))
        return problems

    def _handle_termination(self, signum: int, frame: FrameType | None) -> None:  # noqa: ARG002
        """Only note the signal: the SDK would write STATE ahead of the records."""
        self.stop_request(signum)


class TapCommand(SingerCommand):
    """The command line: whatever goes wrong is told in one line, without secrets."""

    def __init__(self, *arguments: t.Any, redaction: Redaction, **options: t.Any) -> None:
        """Take click's arguments.

        Args:
            *arguments: See `SingerCommand`.
            redaction: Masks secrets in all that is logged.
            **options: See `SingerCommand`.
        """
        super().__init__(*arguments, **options)
        self._redaction = redaction

    def main(self, *arguments: t.Any, **options: t.Any) -> t.Any:  # noqa: ANN401 - click's
        """Run the command, from its arguments on under our own error report."""
        redact_logs(self._redaction)
        sys.excepthook = self.excepthook
        return super().main(*arguments, **options)

    def excepthook(
        self,
        exc_type: type[BaseException],
        exc_value: BaseException,
        exc_traceback: TracebackType | None,
    ) -> None:
        """Tell an error that ends the run; a traceback goes with bugs and debugging."""
        expected = issubclass(exc_type, (SingerSDKError, OSError))
        wanted = not expected or self.logger.isEnabledFor(logging.DEBUG)
        self.logger.error(
            "%s",
            exc_value if expected else f"{exc_type.__name__}: {exc_value}",
            exc_info=(exc_type, exc_value, exc_traceback) if wanted else None,
        )


def redact_logs(redaction: Redaction) -> None:
    """Mask secrets in everything that any handler writes."""
    loggers = [logging.getLogger(), *map(logging.getLogger, logging.root.manager.loggerDict)]
    for handler in {handler for logger in loggers for handler in logger.handlers}:
        handler.addFilter(redaction)


def _read_json(file: t.IO[str] | None, option: str) -> dict[str, t.Any] | None:
    if file is None:
        return None
    try:
        content = load_json(file.read())
    except ValueError as error:
        raise SettingsError(f"{option}: the file must hold JSON") from error
    if not isinstance(content, dict):
        raise SettingsError(f"{option}: the file must hold a JSON object")
    return content


def _credentials(config: t.Mapping[str, t.Any]) -> Credentials:
    if config.get("access_token"):
        return AccessToken(config["access_token"])
    return KeyPair(config["app_id"], config["app_token"])


def _explain(error: ValidationError) -> str:
    """Name the setting and the rule that it breaks, without its value."""
    setting = ".".join(map(str, error.absolute_path)) or "settings"
    rules = {
        "type": "must be of type {}",
        "enum": "must be one of {}",
        "minimum": "must be at least {}",
        "maximum": "must be at most {}",
        "exclusiveMinimum": "must be greater than {}",
    }
    rule = rules.get(str(error.validator), f"must satisfy {error.validator} {{}}")
    limit = error.validator_value
    if isinstance(limit, list):
        limit = ", ".join(str(choice) for choice in limit if choice not in {"null", None})
    return f"{setting}: {rule.format(limit)}"


def _broken_rules(config: t.Mapping[str, t.Any]) -> Iterator[str]:
    """Yield the rules between settings that are broken, naming the settings."""
    pair = [name for name in ("app_id", "app_token") if config.get(name)]
    if config.get("access_token"):
        if pair:
            yield f"access_token: must not be set together with {pair[0]}"
    elif not pair:
        yield "app_id, app_token: both must be set, or access_token instead"
    elif len(pair) == 1:
        missing = "app_token" if pair == ["app_id"] else "app_id"
        yield f"{missing}: must be set together with {pair[0]}"
    for name in SECRETS:
        secret = config.get(name, "")
        if not (secret.isascii() and secret.isprintable()) or " " in secret:
            yield f"{name}: must consist of printable ASCII characters without spaces"
    if config.get("api_url"):
        parts = urlsplit(config["api_url"])
        local = parts.scheme == "http" and is_loopback(parts.hostname or "")
        if not parts.hostname or (parts.scheme != "https" and not local):
            yield "api_url: must be an https address (http only on this machine)"
        elif parts.username or parts.password or parts.query or parts.fragment:
            yield "api_url: must be an address without user, query and fragment"
    dates = {}
    for name in ("start_date", "end_date"):
        if config.get(name):
            if _is_instant(config[name]):
                dates[name] = parse_instant(config[name])
            else:
                yield f"{name}: must be an ISO 8601 date or date-time"
    if len(dates) == 2 and dates["start_date"] >= dates["end_date"]:  # noqa: PLR2004
        yield "start_date: must be before end_date"


def _is_instant(value: object) -> bool:
    try:
        parse_instant(t.cast("str", value))
    except (TypeError, ValueError):
        return False
    return True

"""The tap: the list of streams, and what they share in a run.

Of the SDK's private parts this module uses `parse_environment_config`, `_config` and
`_env_var_prefix`, and it overrides `_env_var_config`, `_validate_config` and
`_handle_termination`.
"""

from __future__ import annotations

import copy
import datetime as dt
import functools
import logging
import typing as t

from singer_sdk import Tap
from singer_sdk.configuration._dict_config import parse_environment_config
from singer_sdk.exceptions import MapExpressionError, MappingError, SingerSDKError

from tap_voucherify.api.client import Client
from tap_voucherify.api.credentials import (
    API_URLS,
    AccessToken,
    Credentials,
    IssuedToken,
    KeyPair,
    TrustedHosts,
)
from tap_voucherify.api.rate_limit import RateLimit
from tap_voucherify.clock import Clock
from tap_voucherify.errors import (
    AccountError,
    Interruption,
    OutputError,
    SettingsError,
    StreamError,
    one_line,
)
from tap_voucherify.exports.job import ExportRequest, ExportRunner
from tap_voucherify.exports.prefetch import RunAhead
from tap_voucherify.files.metadata import attribute_schemas
from tap_voucherify.settings import SECRETS, SETTINGS, complete_and_check
from tap_voucherify.singer.cli import CommandLineTap
from tap_voucherify.singer.signals import StopRequest
from tap_voucherify.singer.writer import MessageWriter
from tap_voucherify.stream import MODIFIED_AT
from tap_voucherify.streams import STREAMS
from tap_voucherify.windows import EPOCH, Bounds, Window, is_instant, parse_instant

if t.TYPE_CHECKING:
    from types import FrameType

    from tap_voucherify.stream import ExportStream


class TapVoucherify(CommandLineTap):
    """Extracts vouchers, redemptions, customers and more through Voucherify's Exports API."""

    name = "tap-voucherify"
    message_writer_class = MessageWriter
    message_writer: MessageWriter
    clock_class: t.ClassVar[type[Clock]] = Clock
    config_jsonschema: t.ClassVar[dict[str, t.Any]] = SETTINGS

    def __init__(self, **arguments: t.Any) -> None:
        """Take the SDK's arguments; see `singer_sdk.Tap`."""
        # Its clock is the machine's own, and goes on when the run's is stopped.
        self.stop_request = StopRequest(Clock(), lambda: self.message_writer.progress)
        self.clock = self.clock_class()
        self.failed_streams: list[str] = []
        self._is_discovery = False
        self._warnings: set[tuple[str, str]] = set()
        super().__init__(**arguments)

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
            credentials=self._credentials,
            hosts=TrustedHosts(api_url, config.get("download_host") or ""),
            rate_limit=RateLimit(self.clock, float(config["rate_limit_reserve"])),
            clock=self.clock,
            request_timeout_seconds=float(config["request_timeout_seconds"]),
            longest_wait_seconds=float(config["export_timeout_seconds"]),
        )

    @property
    def _credentials(self) -> Credentials:
        if self.config.get("access_token"):
            return AccessToken(self.config["access_token"])
        key_pair = KeyPair(self.config["app_id"], self.config["app_token"])
        if not self.config["use_oauth"]:
            return key_pair

        def issue() -> tuple[str, float]:
            scopes = "exports metadata-schemas" if self.config["typed_metadata"] else "exports"
            token, seconds = self.client.issue_token(key_pair, scopes)
            self.redaction.add(token)
            return token, seconds

        return IssuedToken(issue, self.clock)

    @functools.cached_property
    def _runner(self) -> ExportRunner:
        return ExportRunner(
            self.client,
            self.clock,
            poll_interval_seconds=float(self.config["poll_interval_seconds"]),
            export_timeout_seconds=float(self.config["export_timeout_seconds"]),
            adopt_exports=self.config["adopt_exports"],
        )

    @functools.cached_property
    def exports(self) -> RunAhead:
        """The exports of all selected streams, running ahead of their reader."""
        runner = self._runner
        exports = RunAhead(
            runner.run,
            self.clock,
            max_concurrent_exports=self.config["max_concurrent_exports"],
            check_interruption=self.stop_request.check,
            clean_up=runner.delete if self.config["delete_exports"] else None,
        )
        for stream in self.streams.values():
            if stream.selected:
                exports.plan(stream.name, t.cast("ExportStream", stream).requests())
        return exports

    def setup_mapper(self) -> None:
        """Set up stream maps and flattening, once the streams have completed the catalog.

        Raises:
            SettingsError: If they do not fit the streams.
        """
        _ = self.streams
        catalog = copy.deepcopy(self.catalog)
        for entry in catalog.streams:
            # The SDK would deselect their keys as well, and then miss them in a map.
            entry.metadata.root.selected = True
            # Streams look up their maps by their own name.
            entry.stream = entry.tap_stream_id
        try:
            super(Tap, self).setup_mapper()
            self.mapper.register_raw_streams_from_catalog(catalog)
        except MapExpressionError as error:
            # Its text quotes the expression.
            reason = type(error.__cause__).__name__
            raise SettingsError(f"stream_maps: an expression fails with {reason}") from error
        except MappingError as error:
            raise SettingsError(f"stream_maps: {error}") from error
        except ValueError as error:
            raise SettingsError(
                "flattening_max_key_length: must leave every property a name of its own"
            ) from error

    def discover_streams(self) -> list[ExportStream]:
        """Return one stream for each exported object."""
        return [stream_class(self) for stream_class in STREAMS]

    def attribute_schemas(self, exported_object: str) -> dict[str, t.Any]:
        """Return the JSON schemas of an object's custom attributes, if they are to be typed.

        A catalog that was given has them already, and is taken at its word.
        """
        if not self.config.get("typed_metadata") or self.input_catalog is not None:
            return {}
        return self._attribute_schemas.get(exported_object, {})

    @functools.cached_property
    def _attribute_schemas(self) -> dict[str, dict[str, t.Any]]:
        try:
            self._validate_config()
            return attribute_schemas(
                self.client.call("schemas", "GET", "/v1/metadata-schemas").content
            )
        except (AccountError, SettingsError, StreamError) as error:
            if not self._is_discovery:
                raise
            self.logger.warning("typed_metadata: all custom attributes are text: %s", error)
            return {}

    def run_discovery(self) -> str:
        """Write the catalog to standard output and return it."""
        self._is_discovery = True
        return super().run_discovery()

    def test_connection(self) -> None:
        """Prove the credentials and their permissions with a few cheap calls.

        Raises:
            AccountError: If Voucherify refuses the account.
            StreamError: If exports cannot be listed, created or downloaded.
        """
        self.client.call("list", "GET", "/v1/exports", params={"limit": "1"})
        first_second = Window(EPOCH, EPOCH + dt.timedelta(seconds=1))
        request = ExportRequest(
            stream="connection test",
            exported_object="customer",
            fields=("id",),
            window=first_second,
            filter_field="created_at",
        )
        exported = self._runner.run(request, lambda: True)
        exported.close()
        self._runner.delete(exported)
        self.logger.info("The connection test has passed")

    def load_state(self, state: dict[str, t.Any]) -> None:
        """Take over a state.

        Raises:
            SettingsError: If it is not in the form of a state, or a bookmark is no time.
        """
        bookmarks = state.get("bookmarks", {})
        if not isinstance(bookmarks, dict):
            raise SettingsError("state: bookmarks must be an object")
        if state and "bookmarks" not in state:
            raise SettingsError("state: must hold bookmarks, as the value of a STATE message does")
        for name, bookmark in bookmarks.items():
            if not isinstance(bookmark, dict):
                raise SettingsError(f"state: the bookmark of stream '{name}' must be an object")
            value = bookmark.get("replication_key_value")
            # The stream itself discards a bookmark of another replication key.
            is_own = bookmark.get("replication_key") in {"created_at", MODIFIED_AT.name}
            if is_own and value is not None and not is_instant(value):
                raise SettingsError(
                    f"state: the bookmark of stream '{name}' must be an ISO 8601 time"
                )
        super().load_state(state)

    def note_failure(self, stream: str, error: SingerSDKError) -> None:
        """Tell that a stream failed, in one line; the run goes on with the others."""
        self.failed_streams.append(stream)
        self.logger.error(
            "Stream '%s' failed: %s",
            stream,
            one_line(error),
            exc_info=self.logger.isEnabledFor(logging.DEBUG),
        )

    def warn_once(self, stream: str, message: str) -> None:
        """Warn about something that concerns a whole stream."""
        if (stream, message) not in self._warnings:
            self._warnings.add((stream, message))
            self.logger.warning("%s: %s", stream, message)

    def run(self) -> int:
        """Sync all streams and return the exit code.

        Raises:
            AccountError: If Voucherify refuses the account, which ends all streams.
            OutputError: If standard output, or a batch file, cannot be written.
            SettingsError: If the settings do not fit the data.
        """
        try:
            self.sync_all()
            self.exports.finish()
            self.exports.close()
            self._tell_state()
        except OutputError:
            # The state may be ahead of what could be written.
            raise
        except SingerSDKError as error:
            self._tell_state()
            if not isinstance(error, Interruption):
                raise
            self.logger.warning("%s; the last STATE covers all that was written", error)
            return error.exit_code
        finally:
            self.clock.stop()
            self.message_writer.flush()
            self.logger.info("%s", self.client.summary)
        return 1 if self.failed_streams else 0

    def _tell_state(self) -> None:
        if self.state:
            self.state_writer.write_state(self.state)

    @property
    def _all_settings(self) -> dict[str, t.Any]:
        """The schema of our settings and of the SDK's own."""
        schema = copy.deepcopy(self.config_jsonschema)
        self.append_builtin_config(schema)
        return schema

    @property
    def _env_var_config(self) -> dict[str, t.Any]:
        """The settings in the environment, as text: the SDK would fail on what it cannot read."""
        as_text = {name: {"type": ["string"]} for name in self._all_settings["properties"]}
        return parse_environment_config({"properties": as_text}, self._env_var_prefix)

    def _validate_config(self, *, raise_errors: bool = True) -> list[str]:
        """Check the settings in words of ours: the SDK's quote the value.

        Raises:
            SettingsError: If a setting breaks a rule.
        """
        for name in [name for name, value in self._config.items() if value in (None, "")]:
            del self._config[name]
        for secret in SECRETS:
            self.redaction.add(self._config.get(secret))
        problems = complete_and_check(self._config, self._all_settings)
        if problems and raise_errors:
            raise SettingsError("; ".join(problems))
        return problems

    def _handle_termination(
        self,
        signum: int,
        frame: FrameType | None,  # noqa: ARG002 - handlers get it
    ) -> None:
        """Only note the signal: the SDK would write STATE ahead of the records."""
        self.stop_request(signum)

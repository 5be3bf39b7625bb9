"""The tap: what singer-sdk calls."""

from __future__ import annotations

import typing as t
from dataclasses import replace

from singer_sdk import Tap
from singer_sdk.exceptions import MapExpressionError, MappingError, SingerSDKError
from singer_sdk.singerlib import Catalog, MetadataMapping
from typing_extensions import override

from tap_voucherify.clock import Clock
from tap_voucherify.errors import Interruption, OutputError, SettingsError
from tap_voucherify.list_stream import ListStream
from tap_voucherify.list_streams import LIST_STREAMS
from tap_voucherify.session import Session
from tap_voucherify.settings import SECRETS, SETTINGS
from tap_voucherify.singer.cli import CommandLineTap
from tap_voucherify.singer.signals import StopFlag
from tap_voucherify.singer.writer import MessageWriter
from tap_voucherify.stream import ExportStream
from tap_voucherify.streams import STREAMS
from tap_voucherify.validation import check_state, coerce, validate

if t.TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from tap_voucherify.declared import DeclaredStream
    from tap_voucherify.exports.request import ExportRequest

_Stream = t.TypeVar("_Stream", bound="DeclaredStream")


class TapVoucherify(CommandLineTap):
    """Extracts vouchers, redemptions, customers and more through Voucherify's Exports API."""

    name = "tap-voucherify"
    message_writer_class = MessageWriter
    message_writer: MessageWriter
    config_jsonschema: t.ClassVar[dict[str, t.Any]] = SETTINGS

    # What tests and extensions replace.
    clock_class: t.ClassVar[type[Clock]] = Clock
    stream_classes: t.ClassVar[Sequence[type[DeclaredStream]]] = (*STREAMS, *LIST_STREAMS)

    @override
    def __init__(
        self,
        *,
        config: Mapping[str, t.Any] | None = None,
        parse_env_config: bool = False,
        validate_config: bool = True,
        **arguments: t.Any,
    ) -> None:
        """Validate the settings before the SDK sees them: its messages contain their values.

        Raises:
            SettingsError: If a setting is invalid.
        """
        given = {**(config or {}), **(self.environment_settings() if parse_env_config else {})}
        for secret in SECRETS:
            self.secrets.add(given.get(secret))
        settings = coerce(given, self.all_settings())
        exported = [each for each in self.stream_classes if issubclass(each, ExportStream)]
        problems = validate(settings, self.all_settings(), exported)
        if problems and validate_config:
            raise SettingsError("; ".join(map(str, problems)))
        for problem in problems:
            settings.pop(problem.setting.partition(".")[0], None)
        self.session = Session(
            settings,
            problems=problems,
            clock=self.clock_class(),
            # A clock of its own, which keeps running when the session's stops.
            stop=StopFlag(Clock(), lambda: self.message_writer.progress),
            secrets=self.secrets,
            plan=self._plan,
            scopes=self._scopes,
        )
        self.session.asks_for_schemas = arguments.get("catalog") is None
        super().__init__(config=settings, validate_config=False, **arguments)

    @override
    def _setup_signal_handlers(self) -> None:
        """Handle signals from the start: the SDK's own handlers would exit with 0."""
        self.session.stop.listen()

    @override
    def discover_streams(self) -> list[DeclaredStream]:
        """Return one stream for each declaration."""
        return [stream_class(self, self.session) for stream_class in self.stream_classes]

    @override
    def run_discovery(self) -> str:
        """Write the catalog to standard output and return it."""
        self.session.is_discovery = True
        return super().run_discovery()

    @override
    def setup_mapper(self) -> None:
        """Set up stream maps and flattening, once the streams have completed the catalog.

        Raises:
            SettingsError: If they do not fit the streams.
        """
        _ = self.streams
        catalog = Catalog()
        for name, entry in self.catalog.items():
            # The SDK would deselect the keys of a deselected stream, and then miss them in a map.
            root = replace(entry.metadata.root, selected=True)
            metadata = MetadataMapping({**entry.metadata, (): root})
            # Streams look up their maps by their own name.
            catalog[name] = replace(entry, stream=name, metadata=metadata)
        try:
            super(Tap, self).setup_mapper()
            self.mapper.register_raw_streams_from_catalog(catalog)
        except MapExpressionError as error:
            # Its text quotes the expression.
            reason = type(error.__cause__).__name__
            raise SettingsError(f"stream_maps: an expression fails with {reason}") from error
        except MappingError as error:
            raise SettingsError(
                "stream_maps: must keep the key of each stream, or name properties that exist in "
                "__key_properties__"
            ) from error
        except ValueError as error:
            raise SettingsError(
                "flattening_max_key_length: must leave every property a unique name"
            ) from error

    @override
    def load_state(self, state: dict[str, t.Any]) -> None:
        """Load a state.

        Raises:
            SettingsError: If it is not a Singer state, or a bookmark is not a time.
        """
        check_state(state)
        super().load_state(state)

    @override
    def run(self) -> int:
        """Sync all streams and return the exit code.

        Raises:
            AccountError: If Voucherify rejects the account, which ends all streams.
            OutputError: If standard output, or a batch file, cannot be written.
            SettingsError: If the settings do not fit the data.
        """
        if not any(stream.selected for stream in self.streams.values()):
            self.logger.warning("No stream is selected, so nothing is read; check the catalog")
        try:
            self.sync_all()
            self.session.finish()
            self._write_final_state()
        except OutputError:
            # The state may be ahead of what could be written.
            raise
        except SingerSDKError as error:
            self._write_final_state()
            if not isinstance(error, Interruption):
                raise
            self.logger.warning("%s; STATE is up to date", error)
            return error.exit_code
        finally:
            self.session.clock.stop()
            self.message_writer.flush()
            self.logger.info("%s", self._summary)
        return self._exit_code

    @override
    def test_connection(self) -> int:
        """Test each selected stream: export it, without rows if possible, or list one object.

        Returns:
            The exit code: 1 if a stream could not be read.

        Raises:
            AccountError: If Voucherify rejects the account.
        """
        try:
            self._test_streams()
        except Interruption as error:
            self.logger.warning("%s", error)
            return error.exit_code
        finally:
            self.session.clock.stop()
            self.logger.info("%s", self.session.client.summary)
        return self._exit_code

    def _test_streams(self) -> None:
        streams = list(self._selected(ExportStream))
        exports = self.session.prefetcher(deletes=True)
        for stream in streams:
            exports.plan(stream.name, [stream.empty_request()])
        for stream in streams:
            with self.session.failing(stream.name):
                for exported in exports.read(stream.name, stream.recover_test):
                    self.logger.info("%s: %s", stream.name, stream.describe(exported))
        exports.finish()
        for lists in self._selected(ListStream):
            self.session.stop.check()
            with self.session.failing(lists.name):
                self.logger.info("%s: %d objects", lists.name, lists.count())

    @property
    def _summary(self) -> str:
        """Rows by stream, calls by kind and the remaining rate limit, for the log."""
        streams = t.cast("dict[str, DeclaredStream]", self.streams).values()
        rows = [f"{each.name} {each.records_emitted:,}" for each in streams if each.selected]
        return f"Records: {', '.join(rows)}. {self.session.client.summary}"

    @property
    def _exit_code(self) -> int:
        return 1 if self.session.failed_streams else 0

    def _plan(self) -> Iterator[tuple[str, list[ExportRequest]]]:
        for stream in self._selected(ExportStream):
            yield stream.name, stream.requests()

    def _scopes(self) -> list[str]:
        return [stream.scope for stream in self._selected(ListStream)]

    def _selected(self, kind: type[_Stream]) -> Iterator[_Stream]:
        for stream in self.streams.values():
            if isinstance(stream, kind) and stream.selected:
                yield stream

    def _write_final_state(self) -> None:
        if self.state:
            self.state_writer.write_state(self.state)

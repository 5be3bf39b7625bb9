"""The command line: errors are told in one line, without secrets; a traceback is a bug.

Of the SDK's private parts this module uses `_ConfigInput`.
"""

from __future__ import annotations

import abc
import json
import logging
import sys
import typing as t

from jsonschema import SchemaError
from singer_sdk import Tap
from singer_sdk.exceptions import SingerSDKError
from singer_sdk.plugin_base import JSONSchemaValidator, SingerCommand, _ConfigInput
from singer_sdk.singerlib import Catalog
from singer_sdk.tap_base import CliTestOptionValue

from tap_voucherify.errors import SettingsError, one_line
from tap_voucherify.redaction import Redaction

if t.TYPE_CHECKING:
    from types import TracebackType

    import click


class TapCommand(SingerCommand):
    """The SDK's command, with an error report of our own."""

    def __init__(self, *arguments: t.Any, redaction: Redaction, **options: t.Any) -> None:
        """Take click's arguments.

        Args:
            *arguments: See `SingerCommand`.
            redaction: Masks secrets in all that is logged.
            **options: See `SingerCommand`.
        """
        super().__init__(*arguments, **options)
        self._redaction = redaction

    def main(self, *arguments: t.Any, **options: t.Any) -> t.Any:
        """Run the command, from its arguments on under our own error report."""
        redact_logs(self._redaction)
        # At lower levels it logs the expressions of stream maps, which may quote data.
        logging.getLogger("singer_sdk.mapper").setLevel(logging.WARNING)
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
            "%s%s",
            "" if expected else f"{exc_type.__name__}: ",
            one_line(exc_value),
            exc_info=(exc_type, exc_value, exc_traceback) if wanted else None,
        )


class CommandLineTap(Tap, abc.ABC):
    """The SDK's tap, run from a command line of our own.

    Attributes:
        redaction: Knows the secrets of this process, from its first log line on.
    """

    redaction: t.ClassVar[Redaction] = Redaction()

    @abc.abstractmethod
    def run(self) -> int:
        """Sync all streams and return the exit code."""

    @abc.abstractmethod
    def test_connection(self) -> None:
        """Prove the credentials and their permissions with a few cheap calls."""

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
            state=read_json(state, "--state"),
            catalog=read_catalog(catalog),
            parse_env_config=config.parse_env,
        )
        sys.exit(tap.run())

    @classmethod
    def cb_config(
        cls, ctx: click.Context, param: click.Option, value: tuple[str, ...]
    ) -> _ConfigInput:
        """Read the configuration files; see `singer_sdk.Tap`.

        Raises:
            SettingsError: If one cannot be read, or holds no JSON object.
        """
        try:
            return super().cb_config(ctx, param, value)
        except OSError as error:
            raise SettingsError(f"--config: the file must be readable: {error}") from error
        except (TypeError, ValueError) as error:
            raise SettingsError("--config: the file must hold a JSON object") from error

    @classmethod
    def cb_test(cls, ctx: click.Context, param: click.Option, value: str) -> None:
        """Test the connection without an export of everything; see `singer_sdk.Tap`."""
        if value in {CliTestOptionValue.Disabled.value, CliTestOptionValue.Schema.value}:
            super().cb_test(ctx, param, value)
            return
        config = ctx.params.get("config", _ConfigInput())
        tap = cls(config=config.config, parse_env_config=config.parse_env)
        tap.test_connection()
        ctx.exit()

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


def redact_logs(redaction: Redaction) -> None:
    """Mask secrets in everything that any handler writes."""
    loggers = [logging.getLogger(), *map(logging.getLogger, logging.root.manager.loggerDict)]
    for handler in {handler for logger in loggers for handler in logger.handlers}:
        handler.addFilter(redaction)


def read_json(file: t.IO[str] | None, option: str) -> dict[str, t.Any] | None:
    """Return what the file of a command line option holds, if it was given.

    Raises:
        SettingsError: If it holds no JSON object.
    """
    if file is None:
        return None
    try:
        content = json.loads(file.read())
    except ValueError as error:
        raise SettingsError(f"{option}: the file must hold JSON") from error
    if not isinstance(content, dict):
        raise SettingsError(f"{option}: the file must hold a JSON object")
    return content


def read_catalog(file: t.IO[str] | None) -> Catalog | None:
    """Return the catalog that the file of the option holds, if it was given.

    Raises:
        SettingsError: If it is not in the form of a Singer catalog.
    """
    content = read_json(file, "--catalog")
    if content is None:
        return None
    try:
        catalog = Catalog.from_dict(content)
        for entry in content["streams"]:
            JSONSchemaValidator.check_schema(entry.get("schema", {}))
    except (AttributeError, LookupError, TypeError) as error:
        raise SettingsError("--catalog: the file must hold a Singer catalog") from error
    except SchemaError as error:
        place = ".".join(map(str, error.absolute_path))
        raise SettingsError(
            f"--catalog: {place} in the schema of stream '{entry['tap_stream_id']}' must be valid "
            "JSON schema"
        ) from error
    return catalog

"""Command line with one-line errors. A traceback means a bug."""

from __future__ import annotations

import abc
import json
import logging
import sys
import typing as t

from jsonschema import SchemaError
from singer_sdk import Tap
from singer_sdk.configuration._dict_config import parse_environment_config
from singer_sdk.exceptions import SingerSDKError
from singer_sdk.plugin_base import JSONSchemaValidator, SingerCommand
from singer_sdk.singerlib import Catalog
from singer_sdk.tap_base import CliTestOptionValue
from typing_extensions import override

from tap_voucherify.errors import SettingsError, one_line
from tap_voucherify.files.compiled import load
from tap_voucherify.redaction import SecretFilter

if t.TYPE_CHECKING:
    import io
    from types import TracebackType

    import click

_TEST_HELP = (
    "For each selected stream, make an export, without rows if possible, or list one object, to "
    "check keys, permissions and columns. "
    "Use --test=schema to write SCHEMA messages without requesting data."
)
_TYPES = ("array", "boolean", "integer", "null", "number", "object", "string")


class CommandLineTap(Tap, abc.ABC):
    """The SDK's tap, with a command line that reports each error on one line.

    Attributes:
        secrets: Masks secrets in this process's logs.
    """

    secrets: t.ClassVar[SecretFilter] = SecretFilter()

    @abc.abstractmethod
    def run(self) -> int:
        """Sync all streams and return the exit code."""

    @abc.abstractmethod
    def test_connection(self) -> int:
        """Check with one export or list call per stream that a sync works; return the exit code."""

    @classmethod
    def all_settings(cls) -> dict[str, t.Any]:
        """Return the JSON schema of the tap's settings and the SDK's own."""
        schema = {**cls.config_jsonschema, "properties": {**cls.config_jsonschema["properties"]}}
        cls.append_builtin_config(schema)
        return schema

    @classmethod
    def environment_settings(cls) -> dict[str, str]:
        """Return the settings in the environment, unparsed: the SDK crashes on invalid values."""
        as_text = {name: {"type": ["string"]} for name in cls.all_settings()["properties"]}
        prefix = f"{cls.name.upper().replace('-', '_')}_"
        return parse_environment_config({"properties": as_text}, prefix)

    @classmethod
    @override
    def print_version(cls, print_fn: t.Callable[[t.Any], None] = print) -> None:
        """Print the versions; log how files are read."""
        super().print_version(print_fn)
        way = "with compiled code" if load() else "in pure Python, which is slower"
        cls.logger.debug("Files are read %s", way)

    @classmethod
    @override
    def invoke(  # type: ignore[override] # the SDK's own override differs as well
        cls,
        *,
        about: bool = False,
        about_format: str | None = None,
        config: t.Any = None,
        state: t.IO[str] | None = None,
        catalog: t.IO[str] | None = None,
    ) -> None:
        """Run the tap's main command; see `singer_sdk.Tap.invoke`."""
        super(Tap, cls).invoke(about=about, about_format=about_format)
        cls.print_version(print_fn=cls.logger.info)
        tap = cls(
            config=config.config,
            state=read_json(state, "--state"),
            catalog=read_catalog(catalog),
            parse_env_config=config.parse_env,
        )
        sys.exit(tap.run())

    @classmethod
    @override
    def cb_config(cls, ctx: click.Context, param: click.Option, value: tuple[str, ...]) -> t.Any:
        """Read the configuration files; see `singer_sdk.Tap`.

        Raises:
            SettingsError: If one cannot be read, or holds no JSON object.
        """
        try:
            return super().cb_config(ctx, param, value)
        except OSError as error:
            raise SettingsError(f"--config: cannot read the file: {error}") from error
        except (RecursionError, TypeError, ValueError) as error:
            raise SettingsError("--config: the file must hold a JSON object") from error

    @classmethod
    @override
    def cb_test(cls, ctx: click.Context, param: click.Option, value: str) -> None:
        """Run `test_connection` instead of the SDK's test; the SDK does `--test=schema`."""
        if value in {CliTestOptionValue.Disabled.value, CliTestOptionValue.Schema.value}:
            super().cb_test(ctx, param, value)
            return
        config = ctx.params["config"]
        tap = cls(
            config=config.config,
            catalog=read_catalog(ctx.params.get("catalog")),
            parse_env_config=config.parse_env,
        )
        ctx.exit(tap.test_connection())

    @classmethod
    @override
    def get_singer_command(cls) -> click.Command:
        """Return the SDK's command, with one-line error reporting from argument parsing onwards."""
        command = t.cast("SingerCommand", super().get_singer_command())
        for option in t.cast("list[click.Option]", command.params):
            # Read before --test, which runs while options are being read.
            option.is_eager |= option.name == "catalog"
            if option.name == "test":
                option.help = _TEST_HELP
        command.excepthook = cls.report_error  # type: ignore[method-assign]
        sys.excepthook = cls.report_error
        add_to_handlers(cls.secrets)
        # Below WARNING, these log stream map expressions, AWS session tokens and whole files.
        for name in ("singer_sdk.mapper", "aiobotocore", "botocore", "s3fs"):
            logging.getLogger(name).setLevel(logging.WARNING)
        return command

    @classmethod
    def report_error(
        cls,
        exc_type: type[BaseException],
        exc_value: BaseException,
        exc_traceback: TracebackType | None,
    ) -> None:
        """Log a fatal error, with traceback for bugs and at DEBUG level."""
        is_expected = issubclass(exc_type, (SingerSDKError, OSError))
        with_traceback = not is_expected or cls.logger.isEnabledFor(logging.DEBUG)
        cls.logger.error(
            "%s%s",
            "" if is_expected else f"{exc_type.__name__}: ",
            one_line(exc_value),
            exc_info=(exc_type, exc_value, exc_traceback) if with_traceback else None,
        )


def add_to_handlers(log_filter: logging.Filter) -> None:
    """Add a filter to every log handler."""
    loggers = [logging.getLogger(), *map(logging.getLogger, logging.root.manager.loggerDict)]
    for handler in {handler for logger in loggers for handler in logger.handlers}:
        handler.addFilter(log_filter)


def read_json(file: t.IO[str] | None, option: str) -> dict[str, t.Any] | None:
    """Read the JSON object given by an option, if any.

    Raises:
        SettingsError: If the file holds no JSON object.
    """
    if file is None:
        return None
    try:
        # JSON is UTF-8, whatever the locale.
        content = json.loads(t.cast("io.TextIOWrapper[io.BufferedReader]", file).buffer.read())
    except (RecursionError, ValueError) as error:
        raise SettingsError(f"{option}: the file must hold JSON") from error
    if not isinstance(content, dict):
        raise SettingsError(f"{option}: the file must hold a JSON object")
    return content


def read_catalog(file: t.IO[str] | None) -> Catalog | None:
    """Read the catalog given by an option, if any.

    Raises:
        SettingsError: If the file holds no Singer catalog.
    """
    content = read_json(file, "--catalog")
    if content is None:
        return None
    try:
        catalog = Catalog.from_dict(content)
        for entry in content["streams"]:
            schema = entry.get("schema", {})
            if not _is_plain(schema):
                JSONSchemaValidator.check_schema(schema)
    except (AttributeError, LookupError, TypeError) as error:
        raise SettingsError("--catalog: not a Singer catalog") from error
    except SchemaError as error:
        path = ".".join(map(str, error.absolute_path))
        raise SettingsError(
            f"--catalog: stream '{entry['tap_stream_id']}': invalid JSON schema at {path}"
        ) from error
    return catalog


def _is_plain(schema: object) -> bool:
    """Whether a schema is valid and has only common keywords.

    This spares the validator, which takes 0.2 s for the catalog of all streams.
    """
    if isinstance(schema, dict):
        return all(_is_plain_keyword(name, value) for name, value in schema.items())
    return isinstance(schema, bool)


def _is_plain_keyword(name: str, value: object) -> bool:
    if name == "type":
        types = value if isinstance(value, list) else [value]
        return 0 < len(types) == len({*map(str, types)}) and all(each in _TYPES for each in types)
    if name == "properties":
        return isinstance(value, dict) and all(map(_is_plain, value.values()))
    if name in {"items", "additionalProperties"}:
        return _is_plain(value)
    return name in {"description", "format", "title"} and isinstance(value, str)

"""The same tap, with the SDK's options for speed: no conformance, msgspec, a streamed file."""

from __future__ import annotations

import io
from typing import IO, TYPE_CHECKING, cast

from singer_sdk.contrib.msgspec import MsgSpecWriter
from singer_sdk.helpers.conform import TypeConformanceLevel

from . import stock
from .export import download

if TYPE_CHECKING:
    from collections.abc import Iterator

    from singer_sdk import Stream


class Vouchers(stock.Vouchers):
    """All vouchers."""

    TYPE_CONFORMANCE_LEVEL = TypeConformanceLevel.NONE

    def lines(self) -> Iterator[str]:
        """Return the lines of the file as they arrive."""
        body = download(self.config).raw
        body.auto_close = False
        return io.TextIOWrapper(cast("IO[bytes]", body), encoding="utf-8", newline="")


class TapTuned(stock.TapStock):
    """The tap."""

    name = "tap-tuned"
    message_writer_class = MsgSpecWriter

    def discover_streams(self) -> list[Stream]:
        """Return the one stream."""
        return [Vouchers(self)]


if __name__ == "__main__":
    TapTuned.cli()

"""Every way in which a sync can fail, by the way one recovers from it.

- `SettingsError`: a setting is wrong. Correct it; the run stops.
- `AccountError`: Voucherify refuses the account (wrong credentials, plan exceeded,
  quota used up). The run stops: no other stream could do better.
- `StreamError`: one stream cannot go on. The others do, and the run ends with exit
  code 1; the failed stream continues from its last bookmark in the next run.
    - `RequestError`: Voucherify refuses a request, or answers beyond its documentation.
        - `NotFoundError`: what the request names does not exist (any more).
    - `ExportFileError`: an exported file is not what was asked for.
    - `StorageError`: this machine cannot keep an exported file.
    - `TransientError`: the network or the server failed more often than is retried.
        - `RateLimitError`: the account's rate limit is reached; the answer says when
          it resets.
        - `LinkExpiredError`: the link to a file is no longer valid; a fresh one is.
    - `ExportFailedError`: an export ended without a file. A new export, or exports of
      smaller windows, may succeed.
        - `ExportTimeoutError`: it did not end in time, so a smaller window is better.
- `OutputError`: standard output or batch files take nothing more. The run stops, and
  the last STATE before that stands.
- `Interruption`: a signal asks the run to end.
"""

from __future__ import annotations

import signal
import typing as t

from singer_sdk.exceptions import (
    ConfigurationError,
    DataError,
    FatalAPIError,
    FatalSyncError,
    RequestedAbortException,
    RetriableSyncError,
    SyncError,
)

if t.TYPE_CHECKING:
    import datetime as dt


def one_line(error: BaseException) -> str:
    """Return an error's message as one line without control characters."""
    shown = (char if char.isprintable() else " " for char in str(error))
    return " ".join("".join(shown).split())


class SettingsError(ConfigurationError):
    """A setting breaks a rule; the message names both, and never the value."""


class AccountError(FatalAPIError):
    """Voucherify refuses every request of this account."""


class StreamError(SyncError):
    """One stream cannot go on."""


class RequestError(StreamError, FatalAPIError):
    """Voucherify refused a request, and would refuse it again."""


class NotFoundError(RequestError):
    """What a request names does not exist, or no longer."""


class ExportFileError(StreamError, DataError):
    """An exported file is not what was asked for; nothing of it is guessed."""


class StorageError(StreamError, FatalSyncError):
    """This machine cannot keep an exported file, for example on a full disk."""


class TransientError(StreamError, RetriableSyncError):
    """A request failed in a way that repeating it can mend."""


class RateLimitError(TransientError):
    """The account's rate limit is reached.

    Attributes:
        wait_seconds: How long the answer asks to wait.
    """

    def __init__(self, message: str, wait_seconds: float) -> None:
        """Keep the wait beside the message."""
        super().__init__(message)
        self.wait_seconds = wait_seconds


class LinkExpiredError(TransientError):
    """The link to an exported file is no longer valid (they are short-lived)."""


class ExportFailedError(StreamError, RetriableSyncError):
    """An export ended without a file.

    Attributes:
        created_at: The server's time at which the export was created.
    """

    def __init__(self, message: str, created_at: dt.datetime) -> None:
        """Keep the time of creation, at which an open-ended window can be closed."""
        super().__init__(message)
        self.created_at = created_at


class ExportTimeoutError(ExportFailedError):
    """An export did not end within `export_timeout_seconds`."""


class OutputError(FatalSyncError):
    """Standard output or a batch file cannot be written."""


class Interruption(RequestedAbortException):
    """A signal asks the run to end.

    Attributes:
        exit_code: 128 plus the signal's number, as shells report it.
    """

    def __init__(self, signal_number: int) -> None:
        """Say which signal it was."""
        super().__init__(f"Interrupted by {signal.Signals(signal_number).name}")
        self.exit_code = 128 + signal_number

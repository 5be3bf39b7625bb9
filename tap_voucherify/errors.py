"""Everything that can end a sync, grouped by how to recover.

- `SettingsError`: a setting is invalid. Correct it; the run stops.
- `AccountError`: Voucherify rejects the account (wrong credentials, plan exceeded, quota used
  up). The run stops, since every stream would fail.
    - `UnauthorizedError`: it rejects the credentials, or they lack a permission.
- `StreamError`: one stream failed. The others continue, and the run ends with exit code 1; the
  failed stream continues from its last bookmark in the next run.
    - `RequestError`: Voucherify rejects a request, or sends an undocumented response.
        - `NotFoundError`: the requested object does not exist.
        - `FieldsRejectedError`: an export requests fields that the service does not have.
    - `ExportFileError`: an exported file does not match the request.
    - `StorageError`: an exported file cannot be stored locally.
    - `TransientError`: the network or the server was still failing after all retries.
        - `RateLimitError`: the account's rate limit is reached; includes the wait.
        - `LinkExpiredError`: the link to a file has expired; a new one will work.
    - `ExportFailedError`: an export ended without a file. A new export, or exports of smaller
      windows, may succeed.
        - `ExportTimeoutError`: it did not end in time; a smaller window may succeed.
- `OutputError`: standard output or a batch file cannot be written. The run stops; the last
  STATE written stays valid.
- `Interruption`: a signal ends the run.
"""

from __future__ import annotations

import signal
import typing as t

from singer_sdk.exceptions import (
    ConfigurationError,
    FatalAPIError,
    FatalSyncError,
    RequestedAbortException,
    SyncError,
)

from tap_voucherify.redaction import printable

if t.TYPE_CHECKING:
    import datetime as dt


def one_line(error: BaseException) -> str:
    """Return an error's message as one line without control characters."""
    return " ".join(printable(str(error)).split())


def root_cause(error: BaseException) -> str:
    """Return the root cause's message."""
    while cause := error.__cause__ or (None if error.__suppress_context__ else error.__context__):
        error = cause
    return str(error) or type(error).__name__


class SettingsError(ConfigurationError):
    """Invalid setting. The message names the setting and the rule, never the value."""


class AccountError(FatalAPIError):
    """Voucherify rejects the account or its credentials."""


class UnauthorizedError(AccountError):
    """Voucherify rejects the credentials, for every request or for some."""


class StreamError(SyncError):
    """A stream failed."""


class RequestError(StreamError):
    """A request was rejected; retrying will not help."""


class NotFoundError(RequestError):
    """The requested object does not exist."""


class FieldsRejectedError(RequestError):
    """An export requests fields that the service does not have.

    Attributes:
        allowed: The fields that it has.
    """

    def __init__(self, message: str, allowed: frozenset[str]) -> None:
        super().__init__(message)
        self.allowed = allowed


class ExportFileError(StreamError):
    """An exported file does not match the request."""


class StorageError(StreamError):
    """An exported file cannot be stored locally, for example on a full disk."""


class TransientError(StreamError):
    """A request failed but may succeed if retried."""


class RateLimitError(TransientError):
    """The account's rate limit is reached.

    Attributes:
        wait_seconds: Seconds to wait, from the response.
    """

    def __init__(self, message: str, wait_seconds: float) -> None:
        super().__init__(message)
        self.wait_seconds = wait_seconds


class LinkExpiredError(TransientError):
    """The link to an exported file has expired (links are short-lived)."""


class ExportFailedError(StreamError):
    """An export ended without a file.

    Attributes:
        created_at: When the export was created, by the server's clock; an open-ended window can
            be closed there.
    """

    def __init__(self, message: str, created_at: dt.datetime) -> None:
        super().__init__(message)
        self.created_at = created_at


class ExportTimeoutError(ExportFailedError):
    """An export did not finish within `export_timeout_seconds`."""


class OutputError(FatalSyncError):
    """Standard output or a batch file cannot be written."""


class Interruption(RequestedAbortException):
    """A signal ends the run.

    Attributes:
        exit_code: 128 plus the signal's number, as shells report it.
    """

    def __init__(self, signal_number: int) -> None:
        super().__init__(f"Interrupted by {signal.Signals(signal_number).name}")
        self.exit_code = 128 + signal_number

"""An error quotes the server, in part, and says what to do."""

from __future__ import annotations

import json
import ssl
from typing import Any

import pytest

from tap_voucherify.api.error_responses import (
    error_from_download,
    error_from_response,
    tls_error,
)
from tap_voucherify.clock import Clock
from tap_voucherify.errors import FieldsRejectedError, RequestError, TransientError


def error(status: int = 400, **fields: Any) -> Exception:
    """Return the error for a response with these fields."""
    return error_from_response(status, {}, json.dumps(fields).encode(), Clock())


def test_an_error_is_quoted() -> None:
    """Only the fields that explain and identify it are shown."""
    assert str(error()) == "Voucherify returned 400"
    assert str(error(code=400, key="k", message="m", details="d", request_id="r-1", x="y")) == (
        "Voucherify returned 400: k: m: d (request_id r-1)"
    )


def test_a_long_error_is_truncated() -> None:
    """500 characters of each API field are shown, and 200 of a storage's message."""
    long = "x" * 1000
    body = json.dumps({"message": long}).encode()

    assert str(error(message=long)) == "Voucherify returned 400: " + "x" * 500
    assert str(error(request_id=long)).endswith(" " + "x" * 80 + ")")
    failure = error_from_download(400, {}, body, Clock())
    assert str(failure) == "download returned 400: " + "x" * 200


def test_rejected_fields_are_known() -> None:
    """The error lists the allowed fields; without that list it is an ordinary one."""
    details = "Unsupported field used. Allowed fields: id, metadata.X,\nobject"

    failure = error(key="invalid_export_fields", details=details)
    assert isinstance(failure, FieldsRejectedError)
    assert failure.allowed == {"id", "metadata.X", "object"}
    assert str(failure).endswith("; deselect the field that is not allowed")
    for other in (error(key="other", details=details), error(key="invalid_export_fields")):
        assert type(other) is RequestError


@pytest.mark.parametrize("is_verified", [True, False])
def test_b8_only_an_untrusted_certificate_is_final(*, is_verified: bool) -> None:
    """It may be anywhere in the chain of errors; other handshake failures are retried."""
    cause = ssl.SSLError("alert") if is_verified else ssl.SSLCertVerificationError("expired")
    middle, outer = OSError("middle"), OSError("outer")
    middle.__context__, outer.__context__ = cause, middle

    failure = tls_error("api.example.com", outer)

    assert type(failure) is (TransientError if is_verified else RequestError)
    start = "no response from" if is_verified else "TLS verification failed for"
    assert str(failure).startswith(f"{start} api.example.com: ")
    assert ("set REQUESTS_CA_BUNDLE" in str(failure)) != is_verified

"""An error says what the server said of it, in part, and what to do."""

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
    """What explains it and identifies it, and nothing else."""
    assert str(error()) == "Voucherify returned 400"
    assert str(error(code=400, key="k", message="m", details="d", request_id="r-1", x="y")) == (
        "Voucherify returned 400: k: m: d (request_id r-1)"
    )


def test_an_error_is_quoted_in_part() -> None:
    """Five hundred characters of each field of the API, two hundred of what a storage says."""
    long = "x" * 1000
    body = json.dumps({"message": long}).encode()

    assert str(error(message=long)) == "Voucherify returned 400: " + "x" * 500
    assert str(error(request_id=long)).endswith(" " + "x" * 80 + ")")
    failure = error_from_download(400, {}, body, Clock())
    assert str(failure) == "download returned 400: " + "x" * 200


def test_rejected_fields_are_known() -> None:
    """From the fields that the error lists as allowed; without that list it is any error."""
    details = "Unsupported field used. Allowed fields: id, metadata.X,\nobject"

    failure = error(key="invalid_export_fields", details=details)
    assert isinstance(failure, FieldsRejectedError)
    assert failure.allowed == {"id", "metadata.X", "object"}
    assert str(failure).endswith("; deselect the field that is not allowed")
    for other in (error(key="other", details=details), error(key="invalid_export_fields")):
        assert type(other) is RequestError


@pytest.mark.parametrize("is_verified", [True, False])
def test_b8_only_a_certificate_that_is_not_trusted_is_final(*, is_verified: bool) -> None:
    """Wherever in the chain of errors it is; any other failure of a handshake may pass."""
    cause = ssl.SSLError("alert") if is_verified else ssl.SSLCertVerificationError("expired")
    middle, outer = OSError("middle"), OSError("outer")
    middle.__context__, outer.__context__ = cause, middle

    failure = tls_error("api.example.com", outer)

    assert type(failure) is (TransientError if is_verified else RequestError)
    start = "no response from" if is_verified else "TLS verification failed for"
    assert str(failure).startswith(f"{start} api.example.com: ")
    assert ("set REQUESTS_CA_BUNDLE" in str(failure)) != is_verified

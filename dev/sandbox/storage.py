"""Errors of the object store that a download host may be."""

from __future__ import annotations

import json
from typing import Literal, TypeAlias
from xml.sax.saxutils import escape

ErrorForm: TypeAlias = Literal["xml", "json"]


def error_body(code: str, message: str, form: ErrorForm = "xml") -> tuple[bytes, str]:
    """Return the body and the content type of an error of an object store.

    Amazon S3 docs, "REST Error Responses": `Error` with `Code`, `Message`, `RequestId`, `HostId`.

    Args:
        code: The code, such as `ExpiredToken`.
        message: The message.
        form: XML, as object stores send it, or JSON, as gateways in front of them do.
    """
    if form == "json":
        body = {"Code": code, "Message": message, "RequestId": "4442587FB7D0A2F9"}
        return json.dumps(body).encode(), "application/json"
    text = (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        f"<Error><Code>{escape(code)}</Code><Message>{escape(message)}</Message>"
        "<RequestId>4442587FB7D0A2F9</RequestId><HostId>eftixk72aD6Ap51T9AS1ed</HostId></Error>"
    )
    return text.encode(), "application/xml"

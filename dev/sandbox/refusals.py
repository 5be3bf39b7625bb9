"""Voucherify's error bodies."""

from __future__ import annotations

from typing import Any, NoReturn


class Refusal(Exception):  # noqa: N818 - it is an answer of the API rather than an error of ours
    """A request that is answered with an error."""

    def __init__(self, status: int, key: str, message: str, **more: str) -> None:
        """Refuse a request.

        Args:
            status: The HTTP status, repeated as `code`.
            key: Voucherify's name of the error.
            message: What it says.
            more: Further members such as `details`.
        """
        super().__init__(message)
        self.status = status
        self.body: dict[str, Any] = {"code": status, "key": key, "message": message, **more}


def invalid_payload(details: str) -> NoReturn:
    """Voucherify docs: Exports API, Create Export, 400 "Invalid Payload".

    Raises:
        Refusal: Always.
    """
    raise Refusal(400, "invalid_payload", "Invalid payload", details=details)


def not_one_of(place: str, allowed: tuple[str, ...]) -> NoReturn:
    """Voucherify docs: Exports API, Create Export, the details of "Invalid Payload".

    Raises:
        Refusal: Always.
    """
    invalid_payload(
        f"Property {place} should be equal to one of the allowed values [ {', '.join(allowed)} ]",
    )


def invalid_export_fields(allowed: tuple[str, ...]) -> NoReturn:
    """Voucherify docs: Exports API, Create Export, 400 "Invalid Export Fields".

    Raises:
        Refusal: Always.
    """
    details = f"Unsupported field used. Allowed fields: {', '.join(allowed)}"
    raise Refusal(400, "invalid_export_fields", "Invalid Export", details=details)


def export_not_found(export_id: str) -> NoReturn:
    """Voucherify docs: Exports API, Get Export and Delete Export, 404.

    Raises:
        Refusal: Always.
    """
    details = f"Cannot find export with id {export_id}"
    resource = {"resource_id": export_id, "resource_type": "export"}
    raise Refusal(404, "not_found", "Resource not found", details=details, **resource)


def no_such_route() -> NoReturn:
    """Voucherify docs: the error object; unknown what it says here.

    Raises:
        Refusal: Always.
    """
    raise Refusal(404, "not_found", "Resource not found")


def unauthorized() -> NoReturn:
    """Voucherify docs: Exports API, Download Export, 401 "Unauthorized".

    Raises:
        Refusal: Always.
    """
    raise Refusal(401, "unauthorized", "Unauthorized")


def missing_scope(status: int) -> NoReturn:
    """Refuse an OAuth token of other scopes; unknown with which status.

    Raises:
        Refusal: Always.
    """
    if status == 401:
        unauthorized()
    raise Refusal(status, "forbidden", "Forbidden")


def invalid_grant_type() -> NoReturn:
    """Voucherify docs: OAuth API, Generate OAuth 2.0 Token, 400 "Invalid grant type".

    Raises:
        Refusal: Always.
    """
    raise Refusal(400, "invalid_grant_type", "Invalid grant_type")


def invalid_scope(scope: str) -> NoReturn:
    """Voucherify docs: OAuth API, Generate OAuth 2.0 Token, 400 "Invalid scope".

    Raises:
        Refusal: Always.
    """
    raise Refusal(400, "invalid_scope", f"Invalid scope: {scope}")


def too_many_requests() -> NoReturn:
    """Voucherify docs: 429 when a limit is reached; unknown what its body says.

    Raises:
        Refusal: Always.
    """
    raise Refusal(429, "too_many_requests", "Too many requests")

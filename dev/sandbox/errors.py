"""Voucherify's error bodies."""

from __future__ import annotations

from typing import Any, NoReturn


class ApiError(Exception):
    """An error response."""

    def __init__(self, status: int, key: str, message: str, **more: str) -> None:
        """Prepare the response.

        Args:
            status: The HTTP status, repeated as `code`.
            key: The identifier of the error.
            message: The message.
            more: Further members such as `details`.
        """
        super().__init__(message)
        self.status = status
        self.body: dict[str, Any] = {"code": status, "key": key, "message": message, **more}


def invalid_payload(details: str) -> NoReturn:
    """Voucherify docs: Exports API, Create Export, 400 "Invalid Payload".

    Raises:
        ApiError: Always.
    """
    raise ApiError(400, "invalid_payload", "Invalid payload", details=details)


def not_one_of(place: str, allowed: tuple[str, ...]) -> NoReturn:
    """Voucherify docs: Exports API, Create Export, the details of "Invalid Payload".

    Raises:
        ApiError: Always.
    """
    invalid_payload(
        f"Property {place} should be equal to one of the allowed values [ {', '.join(allowed)} ]",
    )


def invalid_export_fields(allowed: tuple[str, ...]) -> NoReturn:
    """Voucherify docs: Exports API, Create Export, 400 "Invalid Export Fields".

    Raises:
        ApiError: Always.
    """
    details = f"Unsupported field used. Allowed fields: {', '.join(allowed)}"
    raise ApiError(400, "invalid_export_fields", "Invalid Export", details=details)


def export_not_found(export_id: str) -> NoReturn:
    """Voucherify docs: Exports API, Get Export and Delete Export, 404.

    Raises:
        ApiError: Always.
    """
    details = f"Cannot find export with id {export_id}"
    resource = {"resource_id": export_id, "resource_type": "export"}
    raise ApiError(404, "not_found", "Resource not found", details=details, **resource)


def no_such_route() -> NoReturn:
    """Voucherify docs: the error object; its content here is unknown.

    Raises:
        ApiError: Always.
    """
    raise ApiError(404, "not_found", "Resource not found")


def unauthorized() -> NoReturn:
    """Voucherify docs: Exports API, Download Export, 401 "Unauthorized".

    Raises:
        ApiError: Always.
    """
    raise ApiError(401, "unauthorized", "Unauthorized")


def missing_scope(status: int) -> NoReturn:
    """Reject an OAuth token of other scopes; the status is unknown.

    Raises:
        ApiError: Always.
    """
    if status == 401:
        unauthorized()
    raise ApiError(status, "forbidden", "Forbidden")


def invalid_grant_type() -> NoReturn:
    """Voucherify docs: OAuth API, Generate OAuth 2.0 Token, 400 "Invalid grant type".

    Raises:
        ApiError: Always.
    """
    raise ApiError(400, "invalid_grant_type", "Invalid grant_type")


def invalid_scope(scope: str) -> NoReturn:
    """Voucherify docs: OAuth API, Generate OAuth 2.0 Token, 400 "Invalid scope".

    Raises:
        ApiError: Always.
    """
    raise ApiError(400, "invalid_scope", f"Invalid scope: {scope}")


def too_many_requests() -> NoReturn:
    """Voucherify docs: 429 when a limit is reached; its body is unknown.

    Raises:
        ApiError: Always.
    """
    raise ApiError(429, "too_many_requests", "Too many requests")

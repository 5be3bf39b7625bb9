"""Voucherify's error responses."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn

from .storage import error_body
from .wire import Response, json_response

if TYPE_CHECKING:
    from .storage import ErrorForm


class ApiError(Exception):
    """An error response."""

    def __init__(self, status: int, key: str, message: str, **more: str) -> None:
        """Prepare the response.

        Args:
            status: The HTTP status, repeated as `code`.
            key: The identifier of the error.
            message: The message.
            more: Other members, such as `details`.
        """
        super().__init__(message)
        self.status = status
        self.body: dict[str, Any] = {"code": status, "key": key, "message": message, **more}

    def response(self, request_id: str, forged_text: str) -> Response:
        """Return the response.

        Args:
            request_id: The id of the request.
            forged_text: Text that is appended to the messages.
        """
        forged = {
            name: self.body[name] + forged_text
            for name in ("message", "details")
            if name in self.body
        }
        return json_response(self.body | forged | {"request_id": request_id}, self.status)

    def storage_response(self, form: ErrorForm) -> Response:
        """Return an object store's equivalent.

        Amazon S3 docs, "List of error codes": `AccessDenied`, `ExpiredToken`, `NoSuchKey`.
        """
        if self.status == 404:
            status, code, message = 404, "NoSuchKey", "The specified key does not exist."
        elif form == "xml":
            status, code, message = 403, "AccessDenied", "Request has expired"
        else:
            status, code, message = 403, "ExpiredToken", "The provided token has expired."
        body, content_type = error_body(code, message, form)
        return Response(status=status, body=body, headers={"Content-Type": content_type})


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
    """Reject an OAuth token without the scope; the status is unknown.

    Raises:
        ApiError: Always.
    """
    if status == 401:
        unauthorized()
    raise ApiError(status, "forbidden", "Forbidden")


def forbidden() -> NoReturn:
    """Reject a key without the permission for an endpoint; the body is unknown.

    Raises:
        ApiError: Always.
    """
    raise ApiError(403, "forbidden", "Forbidden")


def restricted_key(status: int, restriction: str) -> NoReturn:
    """Reject a key that is bound to other IP addresses, or that belongs to OAuth v2.

    Voucherify docs: API keys have a list of allowed IP addresses; service keys use
    `/v2/oauth/token`. The status and the texts of these errors are unknown.

    Raises:
        ApiError: Always.
    """
    key = "unauthorized" if status == 401 else "forbidden"
    details = {
        "ip": "The IP address of the client is not on the list of allowed addresses of the API key",
        "oauth_v2": "The key can only be used with OAuth v2 (/v2/oauth/token)",
    }[restriction]
    raise ApiError(status, key, key.capitalize(), details=details)


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

"""Validation of requests for exports."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from .errors import invalid_export_fields, invalid_payload, not_one_of
from .filters import check
from .objects import OBJECTS

if TYPE_CHECKING:
    from .behaviour import Behaviour
    from .objects import ExportedObject


def parse_request(body: bytes, behaviour: Behaviour) -> tuple[str, dict[str, Any]]:
    """Return the exported object and the parameters of a request.

    Raises:
        ApiError: If they are not as documented.
    """
    try:
        request = json.loads(body)
    except ValueError:
        invalid_payload("Malformed JSON")
    if not isinstance(request, dict):
        invalid_payload("Payload should be object")
    declared = OBJECTS.get(str(request.get("exported_object")))
    if declared is None:
        not_one_of(".exported_object", tuple(OBJECTS))
    parameters = request.get("parameters", {})
    if not isinstance(parameters, dict):
        invalid_payload("Property .parameters should be object")
    fields = parameters.get("fields", [])
    if not isinstance(fields, list):
        invalid_payload("Property .parameters.fields should be array")
    allowed = _allowed_fields(declared, behaviour)
    if not all(name in allowed or _is_metadata_field(name, allowed, behaviour) for name in fields):
        invalid_export_fields(allowed)
    orders = tuple(sign + name for name in declared.orders for sign in ("-", ""))
    if "order" in parameters and parameters["order"] not in orders:
        not_one_of(".parameters.order", orders)
    check(parameters.get("filters", {}), declared)
    if not isinstance(parameters.get("campaign_id", ""), str):
        invalid_payload("Property .parameters.campaign_id should be string")
    if behaviour.response_format == "rejected" and "response_format" in parameters:
        invalid_payload("Property .parameters.response_format is not supported")
    return declared.name, parameters


def _allowed_fields(declared: ExportedObject, behaviour: Behaviour) -> tuple[str, ...]:
    """Return the fields that can be requested."""
    undocumented = declared.undocumented_fields if behaviour.undocumented_fields else ()
    rejected = behaviour.rejected_fields.get(declared.name, ())
    return tuple(name for name in (*declared.fields, *undocumented) if name not in rejected)


def _is_metadata_field(name: object, allowed: tuple[str, ...], behaviour: Behaviour) -> bool:
    """Whether a field is `metadata.X`, of an object that has metadata."""
    return (
        behaviour.metadata_fields
        and "metadata" in allowed
        and str(name).startswith("metadata.")
        and name != "metadata."
    )

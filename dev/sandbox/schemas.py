"""Metadata schemas."""

from __future__ import annotations

from hashlib import blake2b
from typing import TYPE_CHECKING, Any

from .instants import to_ms, to_text

if TYPE_CHECKING:
    from .dataset import Dataset


def list_schemas(dataset: Dataset) -> dict[str, Any]:
    """Return the response with all schemas.

    Voucherify docs: Metadata Schemas API, List Metadata Schema Definitions.
    """
    schemas = [
        {
            "id": f"ms_{blake2b(name.encode(), digest_size=12).hexdigest()}",
            "related_object": name,
            "properties": {
                key.name: {
                    "type": key.type,
                    "array": key.array,
                    "optional": True,
                    "objectType": "Payment" if key.type == "object" else None,
                    **({"deleted": True} if key.deleted else {}),
                }
                for key in keys
                if key.defined
            },
            "allow_defined_only": False,
            "created_at": to_text(to_ms(dataset.start)),
            "updated_at": None,
            "object": "metadata_schema",
        }
        for name, keys in dataset.metadata_keys.items()
    ]
    return {"object": "list", "data_ref": "schemas", "schemas": schemas, "total": len(schemas)}

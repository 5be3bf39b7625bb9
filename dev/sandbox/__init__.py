"""A mock Voucherify server, for tests and experiments.

A real HTTP server that follows the documentation and knows nothing about its clients::

    with Sandbox(Dataset(seed=7), latency_seconds=2) as sandbox:
        requests.post(f"{sandbox.api_url}/v1/exports", ...)
"""

from .actions import (
    ENDLESS_CONTINUE,
    FORGED_TEXT,
    Action,
    Amend,
    Cut,
    Delay,
    Drip,
    DripHead,
    Handshake,
    Raw,
    Reply,
    Rewrite,
    Stall,
    Turn,
    storage_reply,
)
from .api import Request
from .behaviour import Behaviour
from .dataset import Dataset
from .exports import Export
from .faults import Fault
from .headers import colliding_metadata, plausible_titles
from .metadata import METADATA_KEYS, PRODUCT_METADATA_KEYS, MetadataKey
from .objects import OBJECTS, ExportedObject
from .references import REFERENCES, ReferenceList
from .server import Sandbox
from .services import SERVICE_NAMES, service
from .tables import Row

__all__ = [
    "ENDLESS_CONTINUE",
    "FORGED_TEXT",
    "METADATA_KEYS",
    "OBJECTS",
    "PRODUCT_METADATA_KEYS",
    "REFERENCES",
    "SERVICE_NAMES",
    "Action",
    "Amend",
    "Behaviour",
    "Cut",
    "Dataset",
    "Delay",
    "Drip",
    "DripHead",
    "Export",
    "ExportedObject",
    "Fault",
    "Handshake",
    "MetadataKey",
    "Raw",
    "ReferenceList",
    "Reply",
    "Request",
    "Rewrite",
    "Row",
    "Sandbox",
    "Stall",
    "Turn",
    "colliding_metadata",
    "plausible_titles",
    "service",
    "storage_reply",
]

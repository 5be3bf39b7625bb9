"""The Airbyte CDK: a declarative source, which writes records to standard output."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from airbyte_cdk.entrypoint import launch
from airbyte_cdk.sources.declarative.concurrent_declarative_source import (
    ConcurrentDeclarativeSource,
)

STREAM = {"name": "vouchers", "json_schema": {}, "supported_sync_modes": ["full_refresh"]}
CATALOG = {"stream": STREAM, "sync_mode": "full_refresh", "destination_sync_mode": "append"}
MANIFEST = {
    "version": "7.0.0",
    "type": "DeclarativeSource",
    "check": {"type": "CheckStream", "stream_names": ["vouchers"]},
    "spec": {"type": "Spec", "connection_specification": {"type": "object"}},
    "streams": [
        {
            "type": "DeclarativeStream",
            "name": "vouchers",
            "retriever": {
                "type": "SimpleRetriever",
                "requester": {"type": "HttpRequester", "url": "{{ config['url'] }}"},
                "decoder": {"type": "CsvDecoder"},
                "record_selector": {
                    "type": "RecordSelector",
                    "extractor": {"type": "DpathExtractor", "field_path": []},
                },
            },
            "schema_loader": {"type": "InlineSchemaLoader", "schema": {"type": "object"}},
        }
    ],
}

url, target = sys.argv[1:]
config, catalog = (Path(target).with_name(name) for name in ("config.json", "catalog.json"))
config.write_text(json.dumps({"url": url}))
catalog.write_text(json.dumps({"streams": [CATALOG]}))
source = ConcurrentDeclarativeSource(config={"url": url}, source_config=MANIFEST)
launch(source, ["read", f"--config={config}", f"--catalog={catalog}"])

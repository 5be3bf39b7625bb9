"""Invalid settings, with what the error must say about each."""

from __future__ import annotations

from typing import Any

# Part of every invalid text value; must never be printed.
MARK = "mark4711"


PAIR = {"app_id": "an-id", "app_token": f"token-{MARK}"}


BATCHES = {"encoding": {"format": "jsonl"}, "storage": {"root": f"file:///{MARK}"}}


# By case: the settings, and what the error line must contain.
WRONG: dict[str, tuple[dict[str, Any], tuple[str, ...]]] = {
    "no_credentials": ({}, ("app_id", "app_token", "access_token", "must")),
    "id_alone": ({"app_id": f"id-{MARK}"}, ("app_token: must",)),
    "token_alone": ({"app_token": f"token-{MARK}"}, ("app_id: must",)),
    "pair_and_access_token": ({**PAIR, "access_token": f"oauth-{MARK}"}, ("access_token", "must")),
    "empty_token": ({"app_id": "an-id", "app_token": ""}, ("app_token: must",)),
    "id_is_number": ({**PAIR, "app_id": 47110815}, ("app_id: must be", "string")),
    "token_is_number": ({**PAIR, "app_token": 47110815}, ("app_token: must be", "string")),
    "token_is_list": ({**PAIR, "app_token": [f"a-{MARK}"]}, ("app_token: must be", "string")),
    "token_is_object": ({**PAIR, "app_token": {"t": MARK}}, ("app_token: must be", "string")),
    "access_token_is_list": ({"access_token": [f"a-{MARK}"]}, ("access_token: must be", "string")),
    "c7_token_with_line_break": ({**PAIR, "app_token": f"{MARK}\n"}, ("app_token: must",)),
    "token_with_space": ({**PAIR, "app_token": f"my {MARK}"}, ("app_token: must",)),
    "token_beyond_ascii": ({**PAIR, "app_token": f"tökën-{MARK}"}, ("app_token: must",)),
    "unknown_region": ({**PAIR, "region": f"mars-{MARK}"}, ("region: must be one of eu, us, as",)),
    "region_is_number": ({**PAIR, "region": 47110815}, ("region: must",)),
    "no_start_date": ({**PAIR, "start_date": f"soon-{MARK}"}, ("start_date: must", "ISO 8601")),
    "impossible_end_date": ({**PAIR, "end_date": "2026-13-47"}, ("end_date: must", "ISO 8601")),
    "start_date_is_number": ({**PAIR, "start_date": 47110815}, ("start_date: must",)),
    "start_after_end": (
        {**PAIR, "start_date": "2026-04-17", "end_date": "2026-04-11"},
        ("start_date: must be before end_date",),
    ),
    "start_equals_end": (
        {**PAIR, "start_date": "2026-04-17", "end_date": "2026-04-17T00:00:00Z"},
        ("start_date: must be before end_date",),
    ),
    "http_to_a_foreign_host": (
        {**PAIR, "api_url": f"http://{MARK}.example.com"},
        ("api_url: must", "https"),
    ),
    "api_url_without_scheme": ({**PAIR, "api_url": f"{MARK}.example.com"}, ("api_url: must",)),
    "api_url_by_ftp": ({**PAIR, "api_url": f"ftp://{MARK}.example.com"}, ("api_url: must",)),
    "api_url_without_host": ({**PAIR, "api_url": "https://"}, ("api_url: must",)),
    "api_url_with_password": (
        {**PAIR, "api_url": f"https://u:{MARK}@example.com"},
        ("api_url: must",),
    ),
    "api_url_of_no_host": ({**PAIR, "api_url": f"https://[{MARK}"}, ("api_url: must",)),
    "negative_lookback": ({**PAIR, "lookback_seconds": -47}, ("lookback_seconds: must",)),
    "lookback_is_text": ({**PAIR, "lookback_seconds": MARK}, ("lookback_seconds: must",)),
    "window_of_no_day": ({**PAIR, "window_days": 0}, ("window_days: must",)),
    "window_of_half_a_day": ({**PAIR, "window_days": 4.7}, ("window_days: must",)),
    "no_export_at_once": ({**PAIR, "max_concurrent_exports": 0}, ("max_concurrent_exports: must",)),
    "no_poll_interval": ({**PAIR, "poll_interval_seconds": 0}, ("poll_interval_seconds: must",)),
    "no_export_timeout": ({**PAIR, "export_timeout_seconds": 0}, ("export_timeout_seconds: must",)),
    "no_request_timeout": (
        {**PAIR, "request_timeout_seconds": -47},
        ("request_timeout_seconds: must",),
    ),
    "reserve_above_all": (
        {**PAIR, "rate_limit_reserve_percent": 147},
        ("rate_limit_reserve_percent: must",),
    ),
    "batches_without_anything": (
        {**PAIR, "batch_config": {"encoding": None, "extra": MARK}},
        (
            "batch_config.encoding.format: must be set",
            "batch_config.storage.root: must be set",
            "batch_config: must hold only encoding, storage and batch_size",
        ),
    ),
    "batches_with_more": (
        {**PAIR, "batch_config": {**BATCHES, "encoding": {"format": "jsonl", "level": MARK}}},
        ("batch_config.encoding: must hold only format and compression",),
    ),
    "a12_batches_of_csv": (
        {**PAIR, "batch_config": {**BATCHES, "encoding": {"format": "csv"}}},
        ("batch_config.encoding.format: must be one of jsonl, parquet",),
    ),
    "a12_batches_of_arrow": (
        {**PAIR, "batch_config": {**BATCHES, "encoding": {"format": "arrow"}}},
        ("batch_config.encoding.format: must be one of jsonl, parquet",),
    ),
    "batches_of_nothing": (
        {**PAIR, "batch_config": {**BATCHES, "batch_size": 0}},
        ("batch_config.batch_size: must be an integer of at least 1",),
    ),
    "batches_of_text": (
        {**PAIR, "batch_config": {**BATCHES, "batch_size": MARK}},
        ("batch_config.batch_size: must be an integer",),
    ),
    "lookback_is_no_number": (
        {**PAIR, "lookback_seconds": float("nan")},
        ("lookback_seconds: must be a number",),
    ),
    "flattening_without_depth": (
        {**PAIR, "flattening_enabled": True},
        ("flattening_max_depth: must be set to at least 0 together",),
    ),
    "flattening_below_zero": (
        {**PAIR, "flattening_enabled": True, "flattening_max_depth": -1},
        ("flattening_max_depth: must be set to at least 0 together",),
    ),
    "flattening_to_short_names": (
        {
            **PAIR,
            "flattening_enabled": True,
            "flattening_max_depth": 1,
            "flattening_max_key_length": 10,
        },
        ("flattening_max_key_length: must leave every property a unique name",),
    ),
    "parameters_of_no_stream": (
        {**PAIR, "export_parameters": {"voucher": {"campaign_id": MARK}}},
        ("export_parameters.voucher: must be the name of an exported stream",),
    ),
    "stream_maps_are_a_list": ({**PAIR, "stream_maps": [MARK]}, ("stream_maps: must be of type",)),
    "stream_map_is_text": (
        {**PAIR, "stream_maps": {"orders": MARK}},
        ("stream_maps.orders: must be in a documented form",),
    ),
    "stream_maps_keep_the_rest": (
        {**PAIR, "stream_maps": {"__else__": MARK}},
        ("stream_maps.__else__: must be __NULL__",),
    ),
    "stream_maps_keep_an_object": (
        {**PAIR, "stream_maps": {"__else__": {"id": MARK}}},
        ("stream_maps.__else__: must be __NULL__",),
    ),
    "stream_map_keeps_the_rest": (
        {**PAIR, "stream_maps": {"orders": {"__else__": MARK}}},
        ("stream_maps.orders.__else__: must be __NULL__",),
    ),
    "stream_map_without_expression": (
        {**PAIR, "stream_maps": {"orders": {"half": ""}}},
        ("stream_maps.orders.half: must be a Python expression",),
    ),
    "stream_map_of_no_expression": (
        {**PAIR, "stream_maps": {"orders": {"__filter__": f"{MARK} +* 1"}}},
        ("stream_maps.orders.__filter__: must be a Python expression",),
    ),
    "stream_map_without_sense": (
        {**PAIR, "stream_maps": {"orders": {"__alias__": f"{MARK}()"}}},
        ("stream_maps: an expression fails with FunctionNotDefined",),
    ),
    "stream_maps_filter_as_a_whole": (
        {**PAIR, "stream_maps": {"__filter__": {"id": MARK}}},
        ("stream_maps.__filter__: must be the name of a stream",),
    ),
    "stream_map_without_key": (
        {**PAIR, "stream_maps": {"orders": {"id": None}}},
        ("stream_maps: must keep the key of each stream",),
    ),
    "c4_stream_map_with_another_key": (
        {**PAIR, "stream_maps": {"orders": {"__key_properties__": [MARK]}}},
        ("stream_maps: must keep the key of each stream, or name properties that exist",),
    ),
    "api_url_with_an_impossible_port": (
        {**PAIR, "api_url": "https://example.com:port"},
        ("api_url: must",),
    ),
    "download_host_with_a_path": (
        {**PAIR, "download_host": f"{MARK}.example.com/files"},
        ("download_host: must",),
    ),
    "download_host_is_number": ({**PAIR, "download_host": 47110815}, ("download_host: must",)),
}

"""singer-sdk's standard test suite for taps, run against the sandbox."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from singer_sdk.testing import get_tap_test_class

from dev.sandbox import Dataset, Sandbox
from tap_voucherify.tap import TapVoucherify
from tests.support.expectations import OBJECTS
from tests.support.runner import select

if TYPE_CHECKING:
    from collections.abc import Iterator

# The suite lists the streams when it is imported, before there is a sandbox to connect to.
CONFIG: dict[str, object] = {
    "app_id": "id",
    "app_token": "token",
    "poll_interval_seconds": 0.02,
}

# Everything is selected, including streams that are not by default.
CATALOG = select(TapVoucherify(config=CONFIG).catalog_dict, OBJECTS)

_StandardSuite = get_tap_test_class(
    TapVoucherify, config=CONFIG, catalog=CATALOG, parse_env_config=False
)


class TestStandard(_StandardSuite):  # type: ignore[misc, valid-type] # made at run time
    """Everything the SDK expects of a tap."""

    @pytest.fixture(scope="class", autouse=True)
    @classmethod
    def serve(cls) -> Iterator[None]:
        """Connect the suite to a sandbox."""
        with Sandbox(Dataset(sizes=dict.fromkeys(OBJECTS.values(), 50))) as sandbox:
            CONFIG.update(sandbox.config)
            yield

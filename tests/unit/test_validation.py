"""Each invalid setting is reported by its name and its rule, without its value."""

from __future__ import annotations

import pytest

from tap_voucherify.errors import SettingsError
from tap_voucherify.tap import TapVoucherify
from tap_voucherify.validation import validate
from tests.support.settings import BATCHES, MARK, PAIR, WRONG


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_setting_is_named_with_its_rule(name: str) -> None:
    """The one error names the setting and the rule, and not the value."""
    config, parts = WRONG[name]

    with pytest.raises(SettingsError) as caught:
        TapVoucherify(config=config)

    message = str(caught.value)
    assert "\n" not in message
    assert [part for part in parts if part not in message] == []
    for secret in (MARK, "47110815", "2026-04-1", "2026-13-47"):
        assert secret not in message


def test_several_wrong_settings_are_reported_together() -> None:
    """One run reports all invalid settings."""
    with pytest.raises(SettingsError) as caught:
        TapVoucherify(config={**PAIR, "region": "mars", "lookback_seconds": -1})

    assert "region: must" in str(caught.value)
    assert "lookback_seconds: must" in str(caught.value)


@pytest.mark.parametrize("name", ["csv", "arrow"])
def test_the_batch_format_is_checked_whatever_the_schema_allows(name: str) -> None:
    """The schema of singer-sdk 0.54 lists the formats; later ones do not."""
    config = {**PAIR, "use_oauth": False, "track_updates": False}
    config["batch_config"] = {**BATCHES, "encoding": {"format": name}}

    (problem,) = validate(config, {}, [])

    assert str(problem) == "batch_config.encoding.format: must be one of jsonl, parquet"

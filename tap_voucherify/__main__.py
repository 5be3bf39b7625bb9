"""Run the tap with `python -m tap_voucherify`."""

from __future__ import annotations

from tap_voucherify.start import main

main()

"""Tests of `tap_voucherify/singer/`."""

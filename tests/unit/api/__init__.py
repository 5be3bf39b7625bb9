"""Tests of `tap_voucherify/api/`."""

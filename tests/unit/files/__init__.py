"""Tests of `tap_voucherify/files/`."""

"""Tests of `tap_voucherify/exports/`."""

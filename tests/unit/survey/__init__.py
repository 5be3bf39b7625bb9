"""Tests of `tap_voucherify/survey/`."""

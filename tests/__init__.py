"""Tests of tap-voucherify."""

"""Everything said to Voucherify over HTTP: send, retry, read responses completely, pace calls, and authenticate."""

"""Everything said to Voucherify over HTTP.

Send, retry, read responses completely, pace the calls and authenticate.
"""

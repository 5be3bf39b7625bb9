"""Other ways to read and write the same vouchers, each as its documentation shows.

Those outside the SDK run as `python -m dev.bench.rivals.NAME URL FILE`: they read a CSV file from a
server and write JSON lines or parquet, by the suffix of `FILE`.
"""

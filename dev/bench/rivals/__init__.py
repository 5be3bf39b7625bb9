"""Other ways to read and write the same vouchers, each as its documentation shows.

Those outside the SDK run as `python -m dev.bench.rivals.NAME URL FILE`: they read a CSV file from a
server and write one of JSON lines or parquet, whichever the name of `FILE` ends in.
"""

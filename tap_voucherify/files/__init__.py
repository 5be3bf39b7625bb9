"""From an exported CSV file to typed rows.

Match the header to columns, parse each cell strictly, and build records or Arrow tables.
`rows` defines what a row is; `scanner.c`, if compiled, reads rows in common formats faster.
"""

"""From an exported CSV file to typed rows.

Match the header to columns, parse each cell strictly, and build records or Arrow tables.
`rows` decides what a row is; `scanner.c`, where it is compiled, reads those in their usual form.
"""

"""A survey of what Voucherify's documentation leaves open: `python -m tap_voucherify.survey`.

`plan` defines the exports, `runner` makes them with as few calls as possible, and `evidence`
reduces their files to titles, counts and forms. Each question is a function in `columns`, `rows`
or `service`, and `report` prints the answers as Markdown. No cell reaches the report.
"""

"""A survey of what Voucherify's documentation leaves open: `python -m tap_voucherify.survey`.

`probes` plans exports of every object, `runner` makes them with as few calls as possible, `sample`
reduces their files to titles, counts and formats, and `columns` and `service` turn these into
answers, one function each, which `report` prints as Markdown. No cell reaches the report.
"""

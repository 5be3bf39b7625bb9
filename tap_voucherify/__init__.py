"""Singer tap that moves Voucherify's data through its asynchronous Exports API.

`streams` and `list_streams` declare what is extracted, and `stream` and `list_stream` extract it.
`tap` is what singer-sdk calls; `session` holds what all streams share. `api` talks to Voucherify,
`exports` runs exports, `files` reads their files, and `singer` extends singer-sdk. `survey` shows
how a live account behaves where the documentation is silent.
"""

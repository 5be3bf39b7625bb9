"""All communication with Voucherify over HTTP.

`voucherify` has the endpoints, typed; `client` sends, retries, follows redirects and downloads;
`responses` reads a response completely, `error_responses` turns one into an exception;
`rate_limit` paces requests and `credentials` authenticates them.
"""

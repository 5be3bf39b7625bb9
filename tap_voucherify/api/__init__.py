"""Everything said to Voucherify over HTTP.

`voucherify` has the endpoints, typed; `client` sends, retries, follows redirects and downloads;
`responses` reads a response completely, `error_responses` raises the right error; `rate_limit`
paces requests and `credentials` authenticates them.
"""

"""All communication with Voucherify over HTTP.

`voucherify` has the endpoints, typed; `client` sends, retries, follows redirects and downloads;
`responses` reads a response completely, `error_responses` makes an exception of an error
response; `rate_limit` paces requests and `credentials` authenticates them.
"""

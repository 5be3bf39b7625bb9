"""Singer tap that moves Voucherify's data through its asynchronous Exports API."""

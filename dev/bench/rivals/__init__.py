"""Other ways to sync vouchers, as somebody would write them with the same SDK."""

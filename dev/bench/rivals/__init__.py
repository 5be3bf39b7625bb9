"""Other ways to sync vouchers with the same SDK."""

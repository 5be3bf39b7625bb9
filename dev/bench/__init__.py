"""What a sync costs, measured beside other ways to get the same data (`make bench`)."""

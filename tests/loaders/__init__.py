"""Real loaders, which Meltano runs with the tap."""

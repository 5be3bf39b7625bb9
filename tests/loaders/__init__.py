"""Real loaders, which Meltano runs the tap into."""

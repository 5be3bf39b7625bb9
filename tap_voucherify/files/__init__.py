"""From an exported CSV file to typed rows: match the header, parse the cells strictly, and build records or Arrow tables."""

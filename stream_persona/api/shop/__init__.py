"""The shop's catalogue: search, what is bought together, and recommendations."""

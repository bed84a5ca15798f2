"""From files to the input topics, while workers run: events of all kinds, and labels."""

"""What the system speaks of: events, personas, tokens, features, the customer record. Pure."""

"""The nouns of the system: events, personas, tokens, features, the customer record. Pure."""

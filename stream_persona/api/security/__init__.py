"""Who may ask for what: keys with scopes, origins, the audit log, and headers of answers."""

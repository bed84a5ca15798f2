"""Access to the API: keys with scopes, origins, the audit log, and headers of answers."""

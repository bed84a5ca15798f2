"""The HTTP API: queries, lookups, a live stream of changes, and the page that shows them.

``create_api`` builds the application from settings and a taxonomy, ``serve`` runs it. It reads
what the workers write and asks for changes through Kafka alone: it owns no state.
"""

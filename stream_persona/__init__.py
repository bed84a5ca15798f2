"""stream_persona: the behavioural persona of a shopper, queryable at decision time.

Importing the package does nothing; each part is imported where it is used.
"""

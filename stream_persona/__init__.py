"""stream_persona: the behavioural persona of a shopper, for decisions at request time.

Importing the package does nothing; each module is imported where it is used.
"""

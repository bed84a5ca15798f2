"""What a topic or a file holds, and what would become of it: the tool of the first day.

Reading is in ``reading``; everything else is pure: from a ``sample.Sample`` to plain values.
"""

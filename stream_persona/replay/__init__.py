"""Backfill: files or topic ranges, processed as live events are (``run.backfill``)."""

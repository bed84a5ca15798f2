"""Backfill: files or topic ranges through the same walk, silently (``run.backfill``)."""

"""What the live page shows, and what has to run in the background for it."""

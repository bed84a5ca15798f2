"""The process that applies events, from fetched bytes to the acknowledged batch."""

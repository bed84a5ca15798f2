"""Topics in and out: consumers, producers, partitions."""

"""Records, the model's shards and workers' reports, in Redis or in memory."""

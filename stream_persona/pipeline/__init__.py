"""What a batch of events does to records and to the model. Pure."""

"""The effect of a batch of events on records, changes and the model. Pure."""

"""What other tools write of shoppers, read as our events: presets and JMESPath. Pure."""

"""The collector: events of shops without Kafka producers, by HTTP."""

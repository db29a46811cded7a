"""The source: an exchange's trades into Kafka, every one of them, once, in order."""

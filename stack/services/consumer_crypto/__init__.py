"""
The sink: Kafka topic -> Iceberg table, every record exactly once.

The offsets a batch ends at are written into the table in the same commit as the batch. The
table is therefore the only memory the sink has: what it holds is what was consumed. Kafka is
told the offsets too, but only so that lag can be watched; they are never read back.
"""

"""Kafka's record batches as columns, without an object a record: what a fetch brings, and what a producer sends."""

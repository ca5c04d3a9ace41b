"""What others see of the sink, and what it samples of Kafka and ClickHouse."""

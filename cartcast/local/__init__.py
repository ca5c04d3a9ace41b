"""Real Kafka and the real ClickHouse engine on this machine, without Docker."""

"""What every process of Cartcast is made with: errors, TLS, Kafka and ClickHouse clients, health, metrics, logging."""

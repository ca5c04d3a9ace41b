"""What a shopper's behaviour means: events, sequence state, features, the LSTM. Knows no Kafka and no ClickHouse."""

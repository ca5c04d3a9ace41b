"""From the scores topic to ClickHouse."""

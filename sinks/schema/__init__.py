"""The tables and views in ClickHouse, and how they get there."""

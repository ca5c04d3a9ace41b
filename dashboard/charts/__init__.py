"""Rows to pictures. A chart knows neither the database nor the page; its colours are readable on light and on dark."""

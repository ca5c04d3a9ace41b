"""Measures how fast Cartcast is; nothing that ships imports it."""

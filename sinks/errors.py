"""Failures of the ClickHouse side that a user can act on."""

from model.errors import CartcastError


class SinkError(CartcastError):
    """ClickHouse refuses, for a reason that waiting will not change."""

"""Failures of the command itself."""

from service.errors import CartcastError


class UsageError(CartcastError):
    """Options or settings that make no sense together; exit code 2."""


class OutputError(CartcastError):
    """A result cannot be written, for a reason that only shows when it is."""


class LocalStackError(CartcastError):
    """The local Kafka or ClickHouse does not start or has ended."""


class LookUpError(CartcastError):
    """Nobody knows the shopper or the event, or nobody can say now."""

"""Failures of the stream side that a user can act on."""

from service.errors import CartcastError


class StreamError(CartcastError):
    """Kafka cannot be reached or refuses, or its topics do not fit together."""

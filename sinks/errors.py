"""Failures of the ClickHouse side.

SinkError                 a user must act; the command ends with its line
UnavailableError          the world may come back: wait, then do the same again
 +-- CommitRefusedError   Kafka did not take a commit, usually because the group rebalances
RowsRefusedError          at least one row of an insert cannot be stored, so none was
"""

from service.errors import CartcastError


class SinkError(CartcastError):
    """ClickHouse or Kafka refuses, for a reason that waiting will not change."""


class UnavailableError(Exception):
    """ClickHouse or Kafka does not answer, or not now; its text says which and why, in one line."""


class CommitRefusedError(UnavailableError):
    """A commit was not taken: nothing may be inserted on the strength of it."""


class RowsRefusedError(Exception):
    """The table cannot take these rows; its text names column and type or the broken rule, never a value."""

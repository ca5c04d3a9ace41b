"""Why a page cannot show what it should."""

from service.errors import CartcastError


class DashboardError(CartcastError):
    """The dashboard cannot start, or the database refuses it: a user must act."""


class UnavailableError(DashboardError):
    """ClickHouse does not answer now: waiting helps."""


class NotMigratedError(DashboardError):
    """The database lacks a view: `cartcast migrate` makes it."""


class TooSlowError(DashboardError):
    """ClickHouse gave up on a question that took too long: a shorter time range helps."""

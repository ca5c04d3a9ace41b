"""What the pages ask: one module a page, each function names its view and binds its parameters.

A function fetches no more rows than are shown. Times of a range are whole hours of event time in UTC, the first
included, the last not.
"""

from dashboard.queries.range import Asks, Range, Span

__all__ = ["Asks", "Range", "Span"]

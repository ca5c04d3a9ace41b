"""The bar of filters over each page. What is chosen stands in the URL, so that a link shows what its sender saw.

Streamlit keeps a widget's value in the query parameter of its key (`bind`), takes it from there when a link is opened,
and leaves out what is as it was. A value from a URL that makes no sense is not taken; `refused` says so on the page.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

import streamlit as st

from dashboard import config
from dashboard.queries.range import Range, Span

ALL: Final = "All"
CUSTOM: Final = "Custom"
RANGES: Final[Mapping[str, int | None]] = {
    "1 hour": 1,
    "6 hours": 6,
    "24 hours": 24,
    "7 days": 7 * 24,
    "30 days": 30 * 24,
    "Everything": None,
    CUSTOM: None,
}
"""Choices of the time range with their hours, back from the latest event."""
DEFAULT_RANGE: Final = "24 hours"
HORIZONS: Final = ("session", "1h", "24h")
HORIZON_WORDS: Final = {
    "session": "in this session",
    "1h": "within 1 hour",
    "24h": "within 24 hours",
}
MAX_TEXT: Final = 500
MAX_ID: Final = 1024
"""Characters of a user id; a longer one is refused, because what is left of it may be somebody else's."""
_EARLIEST: Final = datetime(2000, 1, 1)  # noqa: DTZ001 - the widget knows no time zone
_LATEST: Final = datetime(2100, 1, 1)  # noqa: DTZ001


def time_range(span: Span, clock: str = "event") -> Range:
    """Show the choice of a time range and return it. `span` is what is stored, `clock` what its times are of."""
    chosen = st.selectbox(
        "Time range",
        list(RANGES),
        index=list(RANGES).index(DEFAULT_RANGE),
        key="range",
        bind="query-params",
        width=150,
        help=f"Whole hours, back from the latest {clock} that is stored: a replayed history is not of today.",
    )
    if chosen == CUSTOM:
        for label, key in (("From", "from"), ("Until", "until")):
            st.datetime_input(
                f"{label} ({config.zone_name()})",
                value=None,
                key=key,
                bind="query-params",
                width=260,
                min_value=_EARLIEST,
                max_value=_LATEST,
            )
    return chosen_range(span)


def chosen_range(span: Span) -> Range:
    """Return the range that the widgets stand at, of what is stored now; for parts that update by themselves."""
    return replace(_chosen(span), zone=config.zone_name())


def _chosen(span: Span) -> Range:
    chosen = st.session_state.get("range") or DEFAULT_RANGE
    if chosen == CUSTOM:
        zone = ZoneInfo(config.zone_name())
        since, until = (when and when.replace(tzinfo=zone) for when in map(st.session_state.get, ("from", "until")))
        if until is None:
            return Range.covering(since or span.last - timedelta(hours=23), span.last)
        return Range.between(since or until - timedelta(hours=24), until)
    hours = RANGES[chosen]
    return Range.covering(span.first, span.last) if hours is None else Range.last_hours(hours, span.last).within(span)


def horizon(default: str = "24h") -> str:
    """Show the choice of a horizon and return its name."""
    chosen = st.segmented_control(
        "Horizon",
        list(HORIZONS),
        default=default,
        key="horizon",
        bind="query-params",
        required=True,
        help="Until when the purchase must come: the rest of the session (gap 30 minutes), 1 hour, 24 hours.",
    )
    return chosen or default


def one_of(label: str, key: str, options: Sequence[str], width: int = 150) -> str:
    """Show a filter over a few values; returns "" for all."""
    chosen = st.selectbox(label, [ALL, *options], key=key, bind="query-params", width=width)
    return "" if chosen in (None, ALL) else str(chosen)


def one_of_fixed(label: str, key: str, options: Sequence[str], width: int = 150) -> str:
    """Show a choice that always has a value, the first if nobody chose."""
    chosen = st.selectbox(label, list(options), key=key, bind="query-params", width=width)
    return str(chosen or options[0])


def text(label: str, key: str, placeholder: str, width: int = 190) -> str:
    """Show a search box and return what is in it, letter by letter: ids may begin with a space, or be long."""
    return st.text_input(label, key=key, bind="query-params", placeholder=placeholder, width=width, type="search") or ""


def search_one(label: str, key: str, top: Sequence[str], placeholder: str, width: int = 190) -> str:
    """Show a box that suggests the most frequent values and takes any other; returns "" if it is empty."""
    now = st.session_state.get(key) or st.query_params.get(key)
    options = [*top, *([now] if now and now not in top else [])]
    chosen = st.selectbox(
        label,
        options,
        index=None,
        key=key,
        bind="query-params",
        accept_new_options=True,
        placeholder=placeholder,
        width=width,
    )
    return str(chosen or "").strip()[:MAX_TEXT]


class Asked:
    """What the URL asked for when a page began, to find what of it was not taken."""

    def __init__(self) -> None:
        self._asked = st.query_params.to_dict()

    def refused(self) -> list[str]:
        """Return the names of parameters whose value makes no sense here, or that mean nothing."""
        taken = st.query_params.to_dict()
        return [
            name
            for name, value in self._asked.items()
            if name not in KEYS or (taken.get(name) != value and str(st.session_state.get(name)) != value)
        ]


KEYS: Final = frozenset(
    {"range", "from", "until", "horizon", "channel", "segment", "category", "last", "q", "sort", "rows", "user"}
    | {"model", "axis", "window", "by", "cohort", "threshold"}
)
"""Every parameter of the pages' URLs."""

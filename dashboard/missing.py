"""What a page says when something is missing, and what to do then."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

import streamlit as st

from dashboard.cards import escaped
from dashboard.formatting import period, plural
from dashboard.queries.range import Range, Span, stored_span
from dashboard.remembered import RememberedDatabase
from service.errors import CartcastError, FormatError, NotMigratedError, TooSlowError, UnavailableError

RETRY_SECONDS: Final = 2.0
START: Final = """
cartcast demo                         # a simulated shop with everything it needs
# or, with your Kafka and ClickHouse, each in a terminal of its own:
cartcast worker                       # scores the events topic
cartcast sink                         # stores the scores
cartcast replay history.jsonl --format cartcast
"""


@contextmanager
def explained() -> Iterator[None]:
    """Show what a page lacks in its place, and the page by itself once it is there."""
    try:
        yield
    except TooSlowError as failure:
        st.subheader("That took too long", anchor=False)
        st.info(_sentence(failure, "Choose a shorter time range."), icon=":material/hourglass_top:")
    except UnavailableError as failure:
        st.subheader("Waiting for ClickHouse", anchor=False)
        st.info(_sentence(failure, ""), icon=":material/cloud_off:")
        _until(lambda: not isinstance(_failure(), UnavailableError))
    except NotMigratedError as failure:
        st.subheader("The views are missing", anchor=False)
        st.info(_sentence(failure, "It is safe to repeat."), icon=":material/table_view:")
        _until(lambda: not isinstance(_failure(), NotMigratedError))
    except FormatError as failure:
        st.subheader("A file cannot be read", anchor=False)
        st.error(_sentence(failure, "Correct it and open the page again."), icon=":material/description:")
    except CartcastError as failure:
        st.subheader("ClickHouse refuses", anchor=False)
        st.error(_sentence(failure, ""), icon=":material/lock:")


@contextmanager
def calmly() -> Iterator[None]:
    """Inside a part that updates by itself: say that it waits, and let its next turn try again."""
    try:
        yield
    except CartcastError as failure:
        st.info(_sentence(failure, "Trying again."), icon=":material/cloud_off:")


def no_events() -> None:
    """Say how events come in; the page comes by itself with the first."""
    st.info("No event is scored and stored yet. This page fills by itself once there is one.", icon=":material/inbox:")
    st.code(START.strip(), language="bash", wrap_lines=True)
    _until(lambda: _failure() is None and stored_span(RememberedDatabase()) is not None)


def nothing_in_range(span: Range, stored: Span, what: str = "event") -> None:
    """Say that the range holds nothing, and what is stored."""
    st.info(
        f"No {what} from {period(span.since, span.until)}. "
        f"Stored: {plural(stored.events, what)} from {period(stored.first, stored.last)}.",
        icon=":material/date_range:",
    )
    st.button("Show the latest 24 hours", on_click=_show_latest)


def nothing_here(text: str) -> None:
    """Say in a card why it is empty; `text` is our own."""
    st.info(text, icon=":material/inbox:")


def _show_latest() -> None:
    st.session_state["range"] = "24 hours"


def _sentence(failure: CartcastError, remedy: str) -> str:
    text = str(failure)
    return f"{escaped(text[:1].upper() + text[1:])}. {remedy}".strip()


def _failure() -> CartcastError | None:
    try:
        RememberedDatabase().rows("SELECT 1 FROM events_by_minute LIMIT 1")
    except CartcastError as failure:
        return failure
    return None


def _until(is_there: Callable[[], bool]) -> None:
    """Look every other second, and show the whole page again once it is there."""
    first = [True]

    @st.fragment(run_every=RETRY_SECONDS)
    def look_again() -> None:
        if first and first.pop():
            return  # the page has just looked
        try:
            there = is_there()
        except CartcastError:
            return
        if there:
            st.rerun()

    look_again()

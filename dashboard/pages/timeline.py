"""One shopper: events with the propensity curve over them, and which of them moved a score."""

from typing import Any, Final

import streamlit as st

from dashboard import bar, config, missing
from dashboard.cards import Money, Share, When, card, escaped, number, numbers, table
from dashboard.charts import shopper as charts
from dashboard.clickhouse import Row
from dashboard.explanations import WorkerExplanation, explanation
from dashboard.formatting import amount, count, moment, percent, plural
from dashboard.queries import shoppers as queries
from dashboard.queries.range import Asks
from service.errors import LookUpError

EXPLAINED_EVENTS: Final = 32
"""So many last events a worker has in store."""
ORDER: Final = "In order"
TIME: Final = "By time"


def show(asks: Asks, user_id: str, horizon: str) -> None:
    """Show one shopper, whatever the filters say."""
    latest = queries.shopper(asks, user_id)
    if latest is None:
        with card("No such shopper", "Ids are compared exactly; the box Search finds parts of them."):
            st.text(user_id)
        return
    rows = _events(queries.timeline(asks, user_id), horizon)
    with st.container(border=True):
        with st.container(key="shopper-id"):
            st.text(user_id)
        _numbers(latest, horizon)
        by_time = bar.one_of_fixed("Events", "axis", (ORDER, TIME), width=130) == TIME
        _curve(rows, int(latest["events"]), horizon, by_time=by_time)
        _explained(user_id, rows, horizon, by_time=by_time)
    _table(rows, queries.recommended(asks, user_id))


def _events(rows: list[Row], horizon: str) -> list[Row]:
    field = f"propensity_{horizon}"
    return [{"number": number, "propensity": row[field], **row} for number, row in enumerate(rows, start=1)]


def _numbers(latest: Row, horizon: str) -> None:
    with numbers("shopper-one"):
        for name in bar.HORIZONS:
            mark = " ◂" if name == horizon else ""
            number(f"{name}{mark}", percent(latest[f"propensity_{name}"]), f"Buys {bar.HORIZON_WORDS[name]}.")
        number(
            "At stake", amount(latest["value_at_stake"]), "Propensity within 24 hours times the price last looked at."
        )
        number("Segment", str(latest["segment"]), "By the propensity within 24 hours.")
        number("Events", count(latest["events"]), f"Latest: {moment(latest['event_at'])}.")


def _curve(rows: list[Row], events: int, horizon: str, *, by_time: bool) -> None:
    if not any(row["propensity"] == row["propensity"] for row in rows):
        missing.nothing_here("The model that scored this shopper does not have this horizon.")
        return
    shown = (
        f"The last {count(len(rows))} of {plural(events, 'event')}" if len(rows) < events else plural(events, "event")
    )
    st.markdown(f"**{shown}, and the probability of a purchase {bar.HORIZON_WORDS[horizon]} after each**")
    st.altair_chart(
        charts.curve(rows, horizon, by_time=by_time), alt="Propensity after each event of the shopper", key="curve"
    )


def _explained(user_id: str, rows: list[Row], horizon: str, *, by_time: bool) -> None:
    """Show which events moved a score; the worker says so, if one answers."""
    last = rows[-EXPLAINED_EVENTS:]
    labels = {f"{row['number']} · {row['event_type']} · {moment(row['event_at'])}": row for row in reversed(last)}
    chosen = st.selectbox(
        "Explain the score after event",
        list(labels),
        key=f"explain-{user_id}",
        width=330,
        help="What the probability would have been without each of the shopper's earlier events.",
    )
    event = labels.get(chosen or "", last[-1])
    try:
        answer = _asked(config.settings().worker_url, user_id, event["event_id"], event["source_topic"])
    except LookUpError as failure:
        st.info(f"No explanation now. {escaped(str(failure))}", icon=":material/info:")
        return
    moved = _moved(answer, rows, horizon)
    if not moved:
        missing.nothing_here("This is the only stored event: there is nothing to compare it with.")
        return
    _say(answer, moved, event, horizon)
    if by_time:
        st.caption("Bars stand under the curve when events are shown in order.")
    st.altair_chart(
        charts.contributions(moved, len(rows)), alt="By how much each event moved the propensity", key="contributions"
    )


@st.cache_data(ttl=10, max_entries=200, show_spinner="Asking the worker")
def _asked(worker_url: str, user_id: str, event_id: str, topic: str) -> WorkerExplanation:
    token = config.settings().worker_token.get_secret_value()  # not an argument: Streamlit would keep those
    return explanation(worker_url, user_id, event_id, topic, token=token)


def _moved(answer: WorkerExplanation, rows: list[Row], horizon: str) -> list[Row]:
    """Return the events whose contribution is known, with the number that the curve gives them."""
    by_hash = {row["event_hash"]: row for row in rows}
    return [
        {**by_hash[event.event_hash], "contribution": contribution}
        for event in answer.events
        if event.event_hash in by_hash and (contribution := event.contribution.get(horizon)) is not None
    ]


def _say(answer: WorkerExplanation, moved: list[Row], event: Row, horizon: str) -> None:
    strongest = max(moved, key=lambda row: abs(row["contribution"]))
    st.markdown(
        f"**Event {strongest['number']} ({escaped(strongest['event_type'])}) moved it most: "
        f"{100 * strongest['contribution']:+.1f} points**"
    )
    earlier = f" {plural(answer.earlier_events, 'older event')} lie outside." if answer.earlier_events else ""
    known = answer.from_ring.get(horizon)
    st.caption(
        f"Each bar: the probability after event {event['number']} less what it would be without that event, in "
        f"percentage points. From the worker's {plural(len(answer.events), 'stored event')} alone it is "
        f"{percent(known)}; {percent(event['propensity'])} was published.{earlier}"
    )


def _table(rows: list[Row], recommended: dict[str, list[str]]) -> None:
    """List the events, with the items that were recommended at some of them, if there are any."""
    config = st.column_config
    columns: dict[str, Any] = {
        "number": config.NumberColumn("No.", width="small"),
        "event_at": When("When"),
        "event_type": config.TextColumn("Event"),
        **({"anonymous_id": config.TextColumn("Before the log-in as")} if any(r["anonymous_id"] for r in rows) else {}),
        "item_id": config.TextColumn("Item"),
        "category": config.TextColumn("Category"),
        "channel": config.TextColumn("Channel"),
        "price": Money("Price"),
        "propensity_session": Share("Session"),
        "propensity_1h": Share("1 hour"),
        "propensity_24h": Share("24 hours"),
        "model": config.TextColumn("Model"),
    }
    if any(row["event_id"] in recommended for row in rows):
        columns["recommended"] = config.TextColumn("Recommended", help="Right after the event, the likeliest first")
        rows = [{**row, "recommended": ", ".join(recommended.get(row["event_id"], ()))} for row in rows]
    with st.expander("The events as a table"):
        table(rows[::-1], "timeline", columns, description="Events of the shopper, newest first")

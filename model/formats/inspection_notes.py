"""What matters for training on files, of what was found in them."""

from typing import Final

from model.events import EVENT_TYPES, OTHER
from model.formats.fields import snake_case
from model.formats.inspection import FEWEST_OF_ONE, Inspection

_PLAUSIBLE: Final = {"user_id": 0.2, "item_id": 0.2, "category": 0.5}
"""Shares of the events above which one value of a field may be a word in place of many."""


def notes_on(found: Inspection) -> list[str]:
    """Return what matters for training on these files, one sentence each."""
    bad_rows = sum(bad.count for bad in found.bad_rows.values())
    other = found.types[EVENT_TYPES[OTHER]]
    notes = {
        "there is no purchase: nothing can be learnt from these files": not found.buyers,
        "there is one user only: a model of one shopper says nothing about others": found.users == 1,
        "every event is a purchase: there is nothing to tell them from": found.types["purchase"] == found.events,
        f"{bad_rows:,} rows are bad: they are left out": bad_rows > 0,
        f"{found.users_out_of_order:,} users have events out of order: right if they arrived so, "
        "else use `cartcast sort`": found.users_out_of_order > 0,
        "most events are of type other: the format's names for events may not be those in the files": (
            other > found.events / 2
        ),
    }
    notes |= {
        f"{count:,} events have the type {given}, which is none and read as other: write {snake_case(given)}": True
        for given, count in found.respelt.items()
    }
    notes[f"{found.far:,} events are far from all others in time: clocks or units that are wrong?"] = found.far > 0
    for name, most in found.most_frequent.items():
        what = {"user_id": "shopper"}.get(name, name.removesuffix("_id"))
        share = f"{most.events:,} of {most.of:,} events"
        notes[f"one {what} has {share}: a placeholder in place of many ids, or a machine?"] = most.is_above(
            _PLAUSIBLE[name]
        ) or (name == "user_id" and most.is_apart)
        notes[f"{most.rounded:,} ids of {what} end in zeros after 15 digits: a spreadsheet has rounded them"] = (
            most.rounded > most.of / 10
        )
    notes[
        f"{found.most_users_of_one:,} users name one anonymous id: a kiosk, a bot, or a word in place of many ids?"
    ] = found.most_users_of_one >= FEWEST_OF_ONE
    notes[f"{found.orders_repeated:,} order ids in more than one purchase: of one shopper they count as one"] = (
        found.orders_repeated > 0
    )
    notes[f"{found.orders_undone:,} orders were cancelled, refunded, voided or never paid: they are no purchases"] = (
        found.orders_undone > 0
    )
    too_long = [horizon for horizon, rate in found.horizons.items() if not rate.known]
    if too_long:
        notes[f"the data end before any horizon of {', '.join(too_long)} does: more history is needed"] = True
    return [note for note, applies in notes.items() if applies]

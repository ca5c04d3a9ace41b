"""What `cartcast export` writes: what training sees of each event, and what followed."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from model.training.history import History

LABEL: Final = "label_"
AMOUNT: Final = "amount_"
ATTRIBUTE: Final = "attribute_"
"""Before the name of a shop's attribute, which may be that of a feature, too."""


def feature_tables(history: "History", names: Sequence[str]) -> Iterator[Any]:
    """Yield Arrow tables of whole users, in each the events in order of arrival; `names` are horizons and goals.

    Features of an event are made of what its user did before it, and it. A label is null where the horizon reaches past
    the end of the data, so that nobody knows it.
    """
    from model.training.split import data_bounds

    end_ms = data_bounds(history.time_ms)[1]
    for part in history.parts():
        yield _table(
            {**_event_columns(history, part), **_features(history, part), **_labels(history, part, names, end_ms)}
        )


def _table(columns: dict[str, Any]) -> Any:  # noqa: ANN401 - pyarrow has no types
    import pyarrow as pa  # type: ignore[import-untyped]

    return pa.table(columns)


def _event_columns(history: "History", part: slice) -> dict[str, Any]:
    import pyarrow as pa

    types = pa.array(history.own_types[part].astype("int32"))
    names = pa.array(list(history.shop.event_types))
    return {
        "row": history.rows[part],
        "user_id": pa.array([history.user_ids[user] for user in history.users[part].tolist()], pa.string()),
        "event_time": history.time_ms[part],
        "applied_time": history.applied_ms[part],
        "event_type": names.take(types),
    }


def _features(history: "History", part: slice) -> dict[str, Any]:
    """Return the inputs of the model by name; of text the codes of its words."""
    import numpy as np
    import pyarrow as pa

    from model.core.features import NUMERIC_FEATURES

    shop, numeric, tokens = history.shop, history.numeric[part], history.tokens[part]
    own = [f"{ATTRIBUTE}{name}" for name in shop.numeric]
    names = (*NUMERIC_FEATURES, *own, *(f"has_{name}" for name in own))
    offsets = np.arange(0, tokens.size + 1, tokens.shape[1], dtype=np.int32)
    return {
        **{name: np.ascontiguousarray(numeric[:, column]) for column, name in enumerate(names)},
        "item_code": history.items[part],
        "category_code": history.categories[part],
        "token_codes": pa.ListArray.from_arrays(offsets, pa.array(tokens.ravel())),
        **{f"{ATTRIBUTE}{name}_code": history.labels[part][:, column] for column, name in enumerate(shop.categorical)},
    }


def _labels(history: "History", part: slice, names: Sequence[str], end_ms: int) -> dict[str, Any]:
    import numpy as np
    import pyarrow as pa

    from model.training.labels import amounts_after, label_events

    users, time_ms = history.users[part], history.time_ms[part]
    labels = label_events(users, time_ms, history.is_positive(part, names), history.shop.within(names))
    unknown = ~labels.known_by(end_ms)  # (events, names)
    columns = {
        f"{LABEL}{name}": pa.array(labels.bought[:, column], mask=unknown[:, column])
        for column, name in enumerate(names)
    }
    if (money := history.shop.money) is not None:
        found = amounts_after(users, time_ms, np.nan_to_num(history.values[part]), money.within)
        columns[f"{AMOUNT}{money.within}"] = pa.array(found.amounts, mask=found.known_at_ms > end_ms)
    return columns

"""A shop's own types and attributes from the bytes of events to scores, over generated definitions."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from model.arrays import Runs
from model.checkpoint import Calibration, Checkpoint
from model.core.append import Source, append_events
from model.core.decode import decode_events
from model.core.features import NUMERIC_FEATURES, write_category_rates
from model.core.shop_tables import ShopTables
from model.explain import Explainer
from model.formats.cartcast import read_rows
from model.horizons import HORIZONS
from model.inference import Scorer
from model.lstm import LSTMConfig, Packing, PropensityLSTM
from model.offline import OfflineScoring
from model.scoring import finish, finish_rebuild, prepare_batch, rebuild_request
from model.sequence import new_sequences, own_of
from model.shop import NO_SHOP, Shop, shop_of
from model.states import StateCodec
from model.training.chunks import Spans
from model.training.history import read_history
from tests.model.own_shop import as_json, large_shop, own_events, shops

CPU = torch.device("cpu")


def checkpoint_of(shop: Shop, version: str = "lstm8-own") -> Checkpoint:
    """Random weights, also of what is frozen, so that every input counts."""
    torch.manual_seed(3)
    model = PropensityLSTM(LSTMConfig(hidden_size=8, shop=shop)).eval()
    torch.nn.init.normal_(model.type_logits)
    for table in model.label_logits:
        torch.nn.init.normal_(table.weight[1:])
    if model.number_scales is not None:
        model.number_scales += torch.rand_like(model.number_scales)
    return Checkpoint(version, model, Calibration.identity(len(HORIZONS)), metrics={}, training={})


class Live:
    """The worker's way from bytes to scores, with the states of all users."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        self.tables = ShopTables.of(checkpoint.model.config.shop)
        self.codec = checkpoint.codec
        self.scorer = Scorer(checkpoint, CPU)
        self.states: dict[str, bytes] = {}
        self.read = 0

    def score(self, values):
        """Return the propensities of all events, by their number."""
        batch, rejects = decode_events(values, tables=self.tables)
        assert not rejects
        index: dict[str, int] = {}
        users = np.array([index.setdefault(user, len(index)) for user in batch.user_ids], np.int64)
        states = self.codec.gather([self.states.get(user) for user in index])
        if (rebuild := rebuild_request(self.codec, states)) is not None:
            finish_rebuild(states, rebuild, self.scorer.score(rebuild))
        prepared = prepare_batch(states, users, batch, Source(1, self.read + batch.positions))
        propensities = finish(states, prepared, self.scorer.score(prepared.request))
        self.states.update(zip(index, self.codec.scatter(states), strict=True))
        rows = prepared.appended.rows + self.read
        self.read += len(values)
        return dict(zip(rows.tolist(), propensities.tolist(), strict=True))


def scored(checkpoint, values, at_once):
    live, found = Live(checkpoint), {}
    for first in range(0, len(values), at_once):
        found |= live.score(values[first : first + at_once])
    return live, found


def history_of(values, shop):
    return read_history(read_rows(iter(enumerate(values, start=1)), shop), shop=shop)


@settings(max_examples=20)
@given(shops, st.integers(1, 200))
def test_scores_do_not_depend_on_how_events_are_cut_into_batches(shop, at_once):
    values, checkpoint = as_json(own_events(shop, 150)), checkpoint_of(shop)
    whole, cut = scored(checkpoint, values, len(values)), scored(checkpoint, values, at_once)
    assert cut[0].states == whole[0].states
    assert cut[1] == whole[1]


@settings(max_examples=10)
@given(shops)
def test_offline_scores_are_the_live_ones(shop):
    values, checkpoint = as_json(own_events(shop, 150)), checkpoint_of(shop)
    live, found = scored(checkpoint, values, 40)
    scoring = OfflineScoring(Scorer(checkpoint, CPU), live.codec, rows_at_once=70)
    offline = list(scoring.score(read_rows(iter(enumerate(values, start=1)), shop)))
    rows, propensities = (
        np.concatenate([getattr(part, name) for part in offline]) for name in ("rows", "propensities")
    )
    np.testing.assert_allclose(propensities, [found[row] for row in rows.tolist()], atol=1e-6)


@settings(max_examples=10)
@given(shops, st.integers(1, 149))
def test_later_events_change_no_input_of_an_earlier_one(shop, count):
    values = as_json(own_events(shop, 150))
    before, everything = (history_of(some, shop) for some in (values[:count], values))
    for name in ("numeric", "type_codes", "own_types", "categories", "labels"):
        known, found = (
            dict(zip(of.rows.tolist(), getattr(of, name).tolist(), strict=True)) for of in (before, everything)
        )
        assert all(value == pytest.approx(found[row]) for row, value in known.items()), name


def test_later_events_change_no_scale_that_an_earlier_fold_learns_with():
    shop = large_shop()
    history = history_of(as_json(own_events(shop, 300)), shop)
    spans = Spans(history.starts[:-1], np.minimum(np.diff(history.starts), 10))
    scales = history.number_scales(spans)
    known = np.concatenate([history.numeric[start : start + 10] for start in history.starts[:-1]])
    attributes = len(shop.numeric)
    for place in range(attributes):
        first = len(NUMERIC_FEATURES) + place
        numbers = known[known[:, first + attributes] > 0, first]
        assert scales[:, place] == pytest.approx([numbers.mean(), numbers.std()], rel=1e-4)


def test_training_reads_what_the_worker_reads():
    shop = large_shop()
    values = as_json(own_events(shop, 300))
    batch, _ = decode_events(values, tables=ShopTables.of(shop))
    users = np.unique(batch.user_ids, return_inverse=True)[1]
    appended = append_events(new_sequences(8), users, batch, Source(1, batch.positions))
    history = history_of(values, shop)
    features = history.features(np.arange(len(history)))
    order = np.argsort(history.rows), np.argsort(appended.rows)
    for name in ("types", "labels", "categories", "tokens"):
        np.testing.assert_array_equal(getattr(features, name)[order[0]], getattr(appended.features, name)[order[1]])
    inputs = np.delete(
        features.numeric, [NUMERIC_FEATURES.index(name) for name in ("category_rate", "category_events")], axis=1
    )
    served = np.delete(
        appended.features.numeric,
        [NUMERIC_FEATURES.index(name) for name in ("category_rate", "category_events")],
        axis=1,
    )
    np.testing.assert_array_equal(inputs[order[0]], served[order[1]])
    assert features.numeric[:, len(NUMERIC_FEATURES) :].any(axis=0).all()


def test_the_compiled_step_is_the_networks_own():
    shop = large_shop()
    checkpoint = checkpoint_of(shop)
    batch, _ = decode_events(as_json(own_events(shop, 300)), tables=ShopTables.of(shop))
    users = np.unique(batch.user_ids, return_inverse=True)[1]
    live = Live(checkpoint)
    prepared = prepare_batch(live.codec.blank(8), users, batch, Source(1, batch.positions))
    found = live.scorer.score(prepared.request)
    features = prepared.request.features
    write_category_rates(features.numeric, features.categories, checkpoint.model.category_rates.numpy())
    packing = Packing.of(Runs.of(prepared.request.users))
    packed = packing.pack(features, CPU)
    with torch.inference_mode():
        carried = torch.zeros(len(packing.sequences), 16, dtype=torch.float16)
        logits = checkpoint.model.logits(checkpoint.model.step_outputs(packed, carried), packed)
    np.testing.assert_allclose(found.propensities[packing.rows], torch.sigmoid(logits).numpy(), atol=2e-5)


@settings(max_examples=10)
@given(shops)
def test_what_another_model_left_is_rebuilt_with_what_is_own(shop):
    events = own_events(shop, 90, users=6)
    for event in events:
        event["ts"] = event["ts"] // 1000 * 1000
        event["price"] = None
    values = as_json(events)
    first, _ = scored(checkpoint_of(shop, "earlier"), values[:80], 80)
    now, _ = scored(checkpoint_of(shop, "later"), values[:80], 80)
    heir = Live(checkpoint_of(shop, "later"))
    heir.states, heir.read = dict(first.states), 80
    found, expected = heir.score(values[80:]), now.score(values[80:])
    np.testing.assert_allclose(list(found.values()), list(expected.values()), atol=1e-3)


def test_an_explanation_leaves_out_what_an_event_says_of_its_own():
    shop = shop_of(
        {"types": {"joined": "none"}, "attributes": {"total": {"kind": "numeric"}, "brand": {"kind": "categorical"}}}
    )
    checkpoint = checkpoint_of(shop)
    base = {"user_id": "u", "type": "view"}
    events = [
        base | {"event_id": f"e{number}", "ts": 1_700_000_000_000 + number * 10_000, **own}
        for number, own in enumerate(
            [{"type": "joined"}, {"attributes": {"total": 900}}, {"attributes": {"brand": "acme"}}, {}]
        )
    ]
    live, found = scored(checkpoint, as_json(events), 10)
    states = live.codec.gather(list(live.states.values()))
    explanation = Explainer(checkpoint).explain(states["sequence"], own=own_of(states))
    np.testing.assert_allclose(explanation.from_ring, found[3], atol=1e-4)
    for number in range(3):
        _, without = scored(checkpoint, as_json(events[:number] + events[number + 1 :]), 10)
        np.testing.assert_allclose(explanation.without[number], without[2], atol=1e-4)


BEFORE = shop_of(
    {
        "types": {"joined": "none", "one click": "purchase"},
        "attributes": {"brand": {"kind": "categorical"}, "total": {"kind": "numeric"}, "size": {"kind": "categorical"}},
    }
)
AFTER = shop_of(
    {
        "types": {"returned": "refund", "joined": "view"},
        "attributes": {
            "size": {"kind": "numeric"},
            "total": {"kind": "numeric"},
            "color": {"kind": "categorical"},
            "brand": {"kind": "categorical"},
        },
    }
)


def test_a_state_of_another_definition_keeps_what_means_the_same_and_is_stale():
    live, _ = scored(checkpoint_of(BEFORE), as_json(own_events(BEFORE, 200)), 200)
    values = list(live.states.values())
    earlier = live.codec.gather(values)
    codec = StateCodec(16, live.codec.model_code, len(HORIZONS), AFTER)
    states = codec.gather([*values, None])[: len(values)]
    assert codec.stale(states).tolist() == list(range(len(values)))
    for name in ("ids", "ring_items", "ring_events", "events"):
        np.testing.assert_array_equal(states["sequence"][name], earlier["sequence"][name])
    own, had = states["own"], earlier["own"]
    np.testing.assert_array_equal(own["types"], had["types"])
    np.testing.assert_array_equal(own["labels"][:, :, 1], had["labels"][:, :, 0])  # brand
    np.testing.assert_array_equal(own["numbers"][:, :, 1], had["numbers"][:, :, 0])  # total
    assert (own["labels"][:, :, 0] == 0).all()
    assert np.isnan(own["numbers"][:, :, 0]).all()  # size was categorical
    assert codec.gather(codec.scatter(states)).tobytes() == states.tobytes()


@pytest.mark.parametrize(("before", "after"), [(NO_SHOP, BEFORE), (BEFORE, NO_SHOP), (BEFORE, AFTER)])
def test_scoring_goes_on_under_another_definition(before, after):
    first, _ = scored(checkpoint_of(before, "earlier"), as_json(own_events(before, 100)), 100)
    heir = Live(checkpoint_of(after, "later"))
    heir.states, heir.read = dict(first.states), 100
    found = heir.score(as_json([event | {"event_id": f"later {event['event_id']}"} for event in own_events(after, 50)]))
    assert np.isfinite(list(found.values())).all()
    assert {len(value) for value in heir.states.values()} == {heir.codec.dtype.itemsize}


def test_a_state_of_forty_types_and_ten_attributes_is_567_bytes_larger():
    assert StateCodec(128, 1, 3, large_shop()).dtype.itemsize - StateCodec(128, 1, 3).dtype.itemsize == 567

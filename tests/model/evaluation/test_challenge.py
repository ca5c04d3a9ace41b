from dataclasses import replace

import msgspec
import numpy as np
import pytest
import torch

from model.checkpoint import DEFAULT_CHECKPOINT, Calibration, Checkpoint, load_checkpoint
from model.evaluation.challenge import Challenge, common_horizons, learnt_until_ms
from model.evaluation.report import challenge_page
from model.events import MIN_EVENT_TIME_MS, parse_time_ms, rfc3339
from model.horizons import DAY_MS
from model.lstm import LSTMConfig, PropensityLSTM
from model.shop import Shop, shop_of
from model.simulator import SimulationSettings, simulate
from model.training.fitting import TrainingSettings
from model.training.history import read_history
from model.training.train import train
from model.training.warm_start import start_from
from service.errors import EvaluationError

SMALL = LSTMConfig(hidden_size=8, category_buckets=16)
TOLD = {
    "not_compared": [], "gone": [],
    "published": False, "why": "better at <1h>", "checkpoint": "shop", "current": "lstm8-a", "version": None,
    "replaced": None, "events": 1, "users": 1, "purchases": 1, "first_event": "2026-01-05T00:00:00", "page": "page",
    "last_event": "2026-02-05T00:00:00", "titles": {name: Shop().title(name) for name in SMALL.horizons},
}  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def _one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def history():
    return read_history(simulate(SimulationSettings(events=10_000, users=200, seed=4)))


@pytest.fixture(scope="module")
def trained(history):
    return train(history, TrainingSettings(epochs=1), SMALL, lambda *_: None)


def serving(model=None, **training):
    torch.manual_seed(3)
    model = PropensityLSTM(SMALL).eval() if model is None else model
    return Checkpoint("lstm8-now", model, Calibration.identity(3), metrics={}, training=training)


def at(trained, name):
    return parse_time_ms(trained.training[name])


def test_what_has_learnt_beats_what_has_not(history, trained):
    challenge = Challenge.of(history, serving(last_event=rfc3339(MIN_EVENT_TIME_MS)))
    result = challenge.result(trained)
    assert result.is_better
    assert set(result.verdicts.values()) == {"better"}
    assert result.why == "better at session, 1h, 24h"
    assert challenge.period["judged_from"] == trained.training["test_from"]


def test_what_is_not_better_is_not_called_better(history, trained):
    result = Challenge.of(history, serving(trained.earlier, last_event=trained.training["test_from"])).result(trained)
    assert not result.is_better
    assert result.why == "no different at session, 1h, 24h"


def spoilt(trained, horizon):
    """Return a model that is far too sure at one horizon."""
    model = PropensityLSTM(SMALL)
    model.load_state_dict(trained.earlier.state_dict())
    with torch.no_grad():
        model.heads.bias[SMALL.horizons.index(horizon)] += 5
    return model.eval()


def test_what_is_worse_at_one_horizon_is_not_better(history, trained):
    challenge = Challenge.of(history, serving(spoilt(trained, "1h"), last_event=trained.training["test_from"]))
    result = challenge.result(trained)
    assert (result.is_better, result.verdicts["1h"], result.verdicts["session"]) == (True, "better", "no different")
    result = challenge.result(replace(trained, earlier=spoilt(trained, "session")))
    assert (result.is_better, result.verdicts["1h"], result.verdicts["session"]) == (False, "better", "worse")


def test_the_candidate_that_is_measured_has_not_seen_the_days(history, trained):
    """The served weights have learnt from them: broken, they change nothing."""
    broken = replace(trained, model=None)
    challenge = Challenge.of(history, serving(last_event=rfc3339(MIN_EVENT_TIME_MS)))
    assert challenge.test_set.examples.split.test_from_ms >= at(trained, "test_from")
    assert challenge.result(broken).is_better


def test_the_current_one_is_not_judged_on_days_that_it_has_learnt_from(history, trained):
    seen_ms = (at(trained, "test_from") + at(trained, "last_event")) // 2 - DAY_MS // 4
    challenge = Challenge.of(history, serving(last_event=rfc3339(seen_ms)))
    assert history.applied_ms[challenge.test_set.rows].min() > seen_ms
    assert challenge.period["judged_from"] == rfc3339(seen_ms + 1)
    everything = Challenge.of(history, serving(last_event=trained.training["test_from"]))
    assert 0 < len(challenge.test_set.rows) < len(everything.test_set.rows)


@pytest.mark.parametrize(
    ("before_end_ms", "said"),
    [
        (0, "nothing to compare on: lstm8-now has learnt from events until .* none is later"),
        (-365 * DAY_MS, "nothing to compare on: lstm8-now has learnt from events until .* none is later"),
        (DAY_MS // 2, r"to compare on .*\(lstm8-now has learnt from what was before\)"),
    ],
)
def test_without_later_days_nothing_is_compared(history, trained, before_end_ms, said):
    seen = rfc3339(at(trained, "last_event") - before_end_ms)
    with pytest.raises(EvaluationError, match=said):
        Challenge.of(history, serving(last_event=seen))


@pytest.mark.parametrize("training", [{}, {"last_event": None}, {"last_event": "yesterday"}])
def test_who_does_not_say_until_when_they_have_learnt_is_not_compared(history, training):
    with pytest.raises(EvaluationError, match="does not say until when"):
        Challenge.of(history, serving(**training))


def test_the_model_that_ships_has_seen_no_day_of_any_shop():
    assert learnt_until_ms(load_checkpoint(DEFAULT_CHECKPOINT)) == MIN_EVENT_TIME_MS


def test_a_candidate_that_lost_a_horizon_is_not_better(history, trained):
    refused = replace(trained, training=trained.training | {"refused_horizons": {"24h": "the history is too short"}})
    result = Challenge.of(history, serving(last_event=rfc3339(MIN_EVENT_TIME_MS))).result(refused)
    assert (result.is_better, result.compared) == (False, None)
    assert "the history is too short" in result.why


def test_every_user_is_scored_from_the_beginning_of_their_history(history, trained):
    """As if all users were scored, not only those that are judged."""
    challenge = Challenge.of(history, serving(trained.earlier, last_event=trained.training["test_from"]))
    few = challenge.test_set.rows[:50]
    labels = challenge.test_set.labels.where(np.arange(len(challenge.test_set.rows)) < 50)
    whole, part = challenge, replace(challenge, test_set=replace(challenge.test_set, rows=few, labels=labels))
    some, all_of_them = (
        each._predictions("", trained.earlier, Calibration.identity(3), history, each.test_set.rows)
        for each in (part, whole)
    )
    np.testing.assert_allclose(some.propensities, all_of_them.propensities[:50], atol=1e-6)


def with_shop(trained, definition, *goals):
    """Return the recipe's model for another definition, which says the same of events that have nothing of it."""
    config = msgspec.structs.replace(SMALL, shop=shop_of(definition), horizons=(*SMALL.horizons, *goals))
    model = PropensityLSTM(config).eval()
    start_from(trained.earlier, model)
    here = model.state_dict()
    for name, weight in trained.earlier.state_dict().items():
        if name != "lstm.weight_ih_l0":
            here[name][tuple(map(slice, weight.shape))] = weight
    return model


DEFINITION = {
    "types": {"quick_look": "view"},
    "attributes": {"plan": {"kind": "categorical"}, "stock": {"kind": "numeric"}},
    "goals": {"add_to_cart": {"event": "cart", "within": "1h"}},
}


def test_each_model_reads_the_events_with_its_own_shop_and_what_both_predict_is_compared(history, trained):
    """The current one knows what the candidate's shop no longer names: it must be judged as it serves."""
    serving_shop = {"types": {"quick_buy": "purchase"}, "attributes": {"size": {"kind": "categorical"}}}
    events = list(simulate(SimulationSettings(events=10_000, users=200, seed=4)))
    served = read_history([*events, later(events[-1])], shop=shop_of(serving_shop))
    read = read_history(events, shop=shop_of(DEFINITION))
    current = serving(with_shop(trained, serving_shop), last_event=trained.training["test_from"])
    challenge = Challenge.of(read, current, horizons=(*SMALL.horizons, "add_to_cart"), served=served)
    assert challenge.test_set.horizons == SMALL.horizons
    candidate = replace(trained, earlier=with_shop(trained, DEFINITION, "add_to_cart"))
    result = challenge.result(candidate)
    assert set(result.verdicts) == set(SMALL.horizons)
    plain = Challenge.of(history, serving(trained.earlier, last_event=trained.training["test_from"])).result(trained)
    assert len(history) == len(read) == len(served) - 1
    for name in ("candidate", "current"):
        ours, wanted = result.compared["models"][name], plain.compared["models"][name]
        measured = [(ours[each]["pr_auc"], ours[each]["log_loss"]) for each in SMALL.horizons]
        expected = [(wanted[each]["pr_auc"], wanted[each]["log_loss"]) for each in SMALL.horizons]
        assert measured == pytest.approx(np.array(expected), abs=1e-3)


def later(event):
    return msgspec.structs.replace(event, event_id="later", ts=event.ts + 1)


def test_goals_that_mean_something_else_now_are_not_compared(trained):
    shop = {"goals": {"wish": {"event": "cart", "within": "1h"}, "same": {"event": "view", "within": "1h"}}}
    current = serving(with_shop(trained, shop, "wish", "same"))
    changed = shop_of({"goals": shop["goals"] | {"wish": {"event": "favorite", "within": "1h"}}})
    assert common_horizons((*SMALL.horizons, "wish", "same"), changed, current) == (*SMALL.horizons, "same")


def test_events_that_are_not_those_of_the_first_reading_are_not_compared(trained):
    events = list(simulate(SimulationSettings(events=10_000, users=200, seed=4)))
    other = read_history([later(events[0]), *events[1:]], shop=shop_of(DEFINITION))
    current = serving(trained.earlier, last_event=trained.training["test_from"])
    with pytest.raises(EvaluationError, match="has changed while it was read twice"):
        Challenge.of(other, current, served=read_history(events[:-5000])).result(trained)


def test_the_page_says_what_was_decided_and_needs_no_network(history, trained):
    challenge = Challenge.of(history, serving(last_event=rfc3339(MIN_EVENT_TIME_MS)))
    result = challenge.result(trained)
    told = TOLD | challenge.period | {"verdicts": result.verdicts, "published": True, "version": "lstm8-b"}
    page = challenge_page(told | {"replaced": "checkpoints/shop.previous"}, result.compared)
    for words in ("lstm8-b replaces lstm8-a", "better at &lt;1h&gt;", "Within 24 hours", "checkpoints/shop.previous"):
        assert words in page
    assert f"{challenge.period['judged_events']:,} events" in page
    assert not any(word in page for word in ("http://", "https://", "<script", "<link", "@import"))


def test_the_page_of_nothing_compared_says_why():
    page = challenge_page(TOLD | {"judged_from": None, "judged_until": None, "judged_events": None}, None)
    assert "lstm8-a stays" in page
    assert "Not published: better at &lt;1h&gt;." in page
    assert "On days that" not in page

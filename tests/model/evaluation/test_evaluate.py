import dataclasses

import msgspec
import numpy as np
import pytest
import torch

from model.checkpoint import Calibration, Checkpoint
from model.evaluation.candidates import the_model, without_text
from model.evaluation.evaluate import EvaluationSettings, evaluate_checkpoint
from model.evaluation.test_set import EvaluationSet, split_of
from model.events import Event, rfc3339
from model.lstm import LSTMConfig, PropensityLSTM
from model.shop import shop_of
from model.simulator import SimulationSettings, simulate
from model.training.examples import hidden_users
from model.training.fitting import TrainingSettings
from model.training.history import read_history
from model.training.train import train
from service.errors import EvaluationError

SMALL = LSTMConfig(hidden_size=8, category_buckets=16)
QUICK = EvaluationSettings(baselines=False, replicas=30)
DAY_MS = 86_400_000


def ignore(_share, _words):
    pass


@pytest.fixture(scope="module", autouse=True)
def _one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def history():
    return read_history(simulate(SimulationSettings(events=20_000, users=400, seed=4)))


@pytest.fixture(scope="module")
def checkpoint(history):
    trained = train(history, TrainingSettings(epochs=1), SMALL, ignore)
    return Checkpoint(
        "lstm8-test",
        trained.model.eval(),
        trained.calibration,
        trained.metrics,
        trained.training,
        trained.earlier.eval(),
    )


@pytest.fixture(scope="module")
def report(history, checkpoint):
    settings = EvaluationSettings(replicas=30, most_training_events=2000)
    return evaluate_checkpoint(history, checkpoint, settings, ignore)


def an_untrained(**training):
    model = PropensityLSTM(SMALL).eval()
    return Checkpoint("lstm8-new", model, Calibration.identity(len(SMALL.horizons)), metrics={}, training=training)


def measured(report, model="cartcast", group="all"):
    return report["slices"][group]["models"][model]


def test_it_measures_what_training_measured_on_its_test_part(report, checkpoint):
    for horizon, metrics in checkpoint.metrics["test"].items():
        if horizon in report["horizons"]:
            found = measured(report)[horizon] | report["slices"]["all"]["counts"][horizon]
            assert {name: found[name] for name in metrics} == pytest.approx(metrics), horizon


def test_other_checkpoints_are_measured_on_the_same_events_beside_the_first(history, checkpoint):
    other = an_untrained(validation_from=checkpoint.training["validation_from"])
    report = evaluate_checkpoint(history, checkpoint, QUICK, ignore, others=[checkpoint, other])
    assert [model["name"] for model in report["models"]][:3] == ["cartcast", "cartcast_2", "cartcast_3"]
    assert measured(report, "cartcast_2") == measured(report)
    differences = report["slices"]["all"]["differences"]
    assert differences["cartcast_2"]["24h"]["pr_auc"] == {"value": 0.0, "interval": [0.0, 0.0]}
    assert differences["cartcast_3"]["24h"]["pr_auc"]["interval"][0] > 0
    assert f"{checkpoint.version}: Measured on what" in report["notes"][1]


def test_a_checkpoint_that_predicts_something_else_is_not_compared(history, checkpoint):
    model = PropensityLSTM(msgspec.structs.replace(SMALL, horizons=("session", "1h"))).eval()
    other = dataclasses.replace(an_untrained(), model=model)
    with pytest.raises(EvaluationError, match="lstm8-new cannot be compared: it has other horizons"):
        evaluate_checkpoint(history, checkpoint, QUICK, ignore, others=[other])


def test_every_model_is_measured_on_every_horizon_and_in_total(report):
    names = [model["name"] for model in report["models"]]
    assert names[:5] == ["cartcast", "base_rate", "logistic_regression", "gradient_boosting", "textbook_lstm"]
    for name in names:
        assert list(measured(report, name)) == [*SMALL.horizons, "total"]


def test_the_total_is_the_mean_over_the_horizons(report):
    metrics = measured(report)
    for name in ("pr_auc", "log_loss", "lift_1_percent", "f1"):
        assert metrics["total"][name] == pytest.approx(np.mean([metrics[horizon][name] for horizon in SMALL.horizons]))


def test_intervals_hold_their_values(report):
    for horizon, metrics in measured(report).items():
        for name in ("roc_auc", "pr_auc", "log_loss", "brier"):
            low, high = metrics["intervals"][name]
            assert low < metrics[name] < high, (horizon, name)


def test_a_difference_is_known_better_than_what_differs(report):
    low, high = report["slices"]["all"]["differences"]["base_rate"]["total"]["log_loss"]["interval"]
    alone_low, alone_high = measured(report)["total"]["intervals"]["log_loss"]
    assert high - low < alone_high - alone_low


def test_the_groups_by_earlier_events_make_up_all_users(report):
    events = {name: group["events"] for name, group in report["slices"].items()}
    assert events["0"] + events["1-4"] + events["5-19"] + events["20+"] == events["all"]
    assert 0 < events["unseen"] < events["all"]


def test_the_first_event_of_a_user_has_none_before_it(history, checkpoint):
    test_set = EvaluationSet.of(history, split_of(history, checkpoint, None), hidden_users(history), SMALL.horizons)
    groups = {name: rows for name, _, rows in test_set.slices()}
    firsts = test_set.rows[groups["0"]]
    assert set(firsts) <= set(history.starts)
    np.testing.assert_array_equal(
        groups["5-19"], np.isin(test_set.rows - history.starts[test_set.labels.users], range(5, 20))
    )


def test_unseen_users_have_no_event_that_was_learnt_from(history, checkpoint):
    split = split_of(history, checkpoint, None)
    test_set = EvaluationSet.of(history, split, hidden_users(history), SMALL.horizons)
    unseen = {name: rows for name, _, rows in test_set.slices()}["unseen"]
    for user in np.unique(test_set.labels.users[unseen]):
        is_new = history.time_ms[history.users == user].min() >= split.test_from_ms
        assert is_new or hidden_users(history)[user]


@pytest.mark.parametrize("after_days", [None, 20])
def test_a_wrong_clock_is_not_the_end_of_what_is_evaluated(history, checkpoint, after_days):
    after_ms = None if after_days is None else int(history.time_ms.min()) + after_days * DAY_MS
    times = history.time_ms.copy()
    times[len(times) // 2] = 4_080_000_000_000
    with_wrong_clock = dataclasses.replace(history, time_ms=times)
    assert split_of(with_wrong_clock, checkpoint, after_ms) == split_of(history, checkpoint, after_ms)


def test_the_same_seed_gives_the_same_report(history, checkpoint, report):
    again = evaluate_checkpoint(history, checkpoint, EvaluationSettings(replicas=30, most_training_events=2000), ignore)
    assert again == report


def test_a_choice_of_training_events_is_told(report):
    assert any("2,000 events" in note for note in report["notes"])


def test_words_are_hidden_from_the_same_weights(report):
    assert report["text"]["in_data"]
    assert report["text"]["events_with_words"] > 0
    assert "cartcast_without_text" in report["slices"]["all"]["differences"]
    assert "cartcast_without_text" not in report["slices"]["unseen"]["models"]


def test_what_reads_no_words_is_calibrated_anew(history, checkpoint):
    """Else hiding the words would cost it its calibration besides, which is not what they add."""
    split = split_of(history, checkpoint, None)
    test_set = EvaluationSet.of(history, split, hidden_users(history), SMALL.horizons)
    rows = np.flatnonzero(test_set.examples.validation.all(axis=1))
    bought = test_set.examples.bought[rows]
    on_validation = dataclasses.replace(test_set, rows=rows)
    shifted = dataclasses.replace(
        checkpoint, calibration=Calibration(slopes=(1.0,) * 3, intercepts=(3.0,) * 3), training={}
    )
    (silent,) = without_text(shifted, on_validation, the_model(shifted, on_validation, []))
    np.testing.assert_allclose(silent.propensities.mean(axis=0), bought.mean(axis=0), atol=0.03)


def test_data_without_words_need_no_second_model(history, checkpoint):
    silent = dataclasses.replace(history, tokens=np.zeros_like(history.tokens))
    report = evaluate_checkpoint(silent, checkpoint, QUICK, ignore)
    assert not report["text"]["in_data"]
    assert [model["name"] for model in report["models"]] == ["cartcast"]


def test_after_a_time_only_later_events_are_evaluated_and_the_baselines_learn_from_what_was_known_before(history):
    after_ms = int(history.time_ms.max()) - 4 * DAY_MS
    nobody = np.zeros(len(history.user_ids), np.bool_)
    test_set = EvaluationSet.of(history, split_of(history, an_untrained(), after_ms), nobody, SMALL.horizons)
    examples, split = test_set.examples, test_set.examples.split
    assert history.applied_ms[test_set.rows].min() >= after_ms
    learnt, judged = (np.flatnonzero(part.any(axis=1)) for part in (examples.learnt, examples.validation))
    assert len(learnt)
    assert len(judged)
    assert history.applied_ms[learnt].max() < split.validation_from_ms
    assert history.applied_ms[np.flatnonzero(examples.learnt[:, 2])].max() < split.validation_from_ms - DAY_MS
    assert history.applied_ms[np.flatnonzero(examples.validation[:, 2])].max() < after_ms - DAY_MS


def test_a_model_that_has_seen_the_evaluated_time_is_noted(history, checkpoint):
    after_ms = int(history.time_ms.max()) - 8 * DAY_MS
    settings = dataclasses.replace(QUICK, after_ms=after_ms)
    assert "flatters" in evaluate_checkpoint(history, checkpoint, settings, ignore)["notes"][1]
    alone = dataclasses.replace(checkpoint, earlier=None)
    assert "flatters" in evaluate_checkpoint(history, alone, QUICK, ignore)["notes"][0]


def test_the_test_part_is_measured_with_the_weights_that_have_not_seen_it(history, checkpoint, report):
    other = dataclasses.replace(checkpoint, model=an_untrained().model)
    found = evaluate_checkpoint(history, other, QUICK, ignore)
    assert len(found["notes"]) == 1
    assert "without a fifth of the users" in found["notes"][0]
    for measure in ("pr_auc", "log_loss"):
        assert measured(found)["1h"][measure] == measured(report)["1h"][measure]


def test_what_was_hidden_from_the_measured_weights_is_hidden_from_the_baselines(report, checkpoint):
    new_users = checkpoint.metrics["test_unseen_users"]["1h"]["events"]
    assert report["slices"]["unseen"]["counts"]["1h"]["events"] == new_users


def test_what_comes_after_all_that_was_learnt_is_scored_with_the_weights_that_serve(history, checkpoint):
    training = checkpoint.training | {"last_event": checkpoint.training["test_from"]}
    late = dataclasses.replace(checkpoint, earlier=an_untrained().model, training=training)
    assert evaluate_checkpoint(history, late, QUICK, ignore)["notes"] == []


def test_stored_thresholds_decide(history, checkpoint):
    stored = dict.fromkeys(SMALL.horizons, 0.0)
    everybody = dataclasses.replace(checkpoint, training=checkpoint.training | {"thresholds": stored})
    report = evaluate_checkpoint(history, everybody, QUICK, ignore)
    assert measured(report)["1h"]["recall"] == 1
    assert measured(report)["1h"]["precision"] == pytest.approx(measured(report)["1h"]["base_rate"])


def test_without_stored_thresholds_the_validation_part_gives_them(history, checkpoint):
    forgotten = {name: value for name, value in checkpoint.training.items() if name != "thresholds"}
    found = evaluate_checkpoint(history, dataclasses.replace(checkpoint, training=forgotten), QUICK, ignore)
    split = split_of(history, checkpoint, None)
    test_set = EvaluationSet.of(history, split, hidden_users(history), SMALL.horizons)
    measured_weights = dataclasses.replace(checkpoint, model=checkpoint.earlier, training={})
    expected = the_model(measured_weights, test_set, []).thresholds
    assert list(found["models"][0]["thresholds"].values()) == pytest.approx(expected)


def test_nothing_before_the_evaluated_time_leaves_the_model_alone(history):
    first_ms = int(history.time_ms.min())
    settings = EvaluationSettings(after_ms=first_ms, replicas=30)
    report = evaluate_checkpoint(history, an_untrained(), settings, ignore)
    assert [model["name"] for model in report["models"] if "text" not in model["name"]] == ["cartcast"]
    assert measured(report)["1h"]["f1"] is None
    assert any("no baselines" in note for note in report["notes"])


def test_data_without_purchases_are_refused(history, checkpoint):
    quiet = dataclasses.replace(history, type_codes=np.zeros_like(history.type_codes))
    with pytest.raises(EvaluationError, match="nothing to tell apart: none of the"):
        evaluate_checkpoint(quiet, checkpoint, QUICK, ignore)


def test_data_of_one_user_are_refused():
    events = [
        Event(f"e{hour}", "u", "purchase" if hour % 40 == 0 else "view", hour * 3_600_000 + 10**12)
        for hour in range(99)
    ]
    with pytest.raises(EvaluationError, match="of one user"):
        evaluate_checkpoint(read_history(events), an_untrained(), dataclasses.replace(QUICK, after_ms=10**12), ignore)


def test_nothing_after_the_time_is_one_line_that_names_the_data(history, checkpoint):
    last_ms = int(history.time_ms.max())
    with pytest.raises(EvaluationError, match="nothing to evaluate") as failure:
        evaluate_checkpoint(history, checkpoint, dataclasses.replace(QUICK, after_ms=last_ms + 1), ignore)
    assert rfc3339(last_ms) in str(failure.value)
    assert "\n" not in str(failure.value)


def test_a_checkpoint_that_names_no_split_asks_for_a_time(history):
    with pytest.raises(EvaluationError, match="--after"):
        evaluate_checkpoint(history, an_untrained(), QUICK, ignore)


SHOP = shop_of({"goals": {"cart_soon": {"event": "cart", "within": "2h"}}, "money": {"within": "24h"}})


def test_goals_and_money_are_measured_on_the_test_part_as_training_measured_them():
    own = read_history(simulate(SimulationSettings(events=20_000, users=400, seed=4)), shop=SHOP)
    config = msgspec.structs.replace(SMALL, horizons=("24h", "cart_soon"), shop=SHOP)
    trained = train(own, TrainingSettings(epochs=1), config, ignore)
    of_shop = Checkpoint(
        "lstm8-shop", trained.model, trained.calibration, trained.metrics, trained.training, trained.earlier
    )
    report = evaluate_checkpoint(own, of_shop, QUICK, ignore)
    assert (report["horizons"], report["titles"]["cart_soon"]) == (["24h", "cart_soon"], "Cart soon")
    assert report["goals"] == {"cart_soon": "cart, within 2 hours"}
    assert measured(report)["cart_soon"]["roc_auc"] == pytest.approx(trained.metrics["test"]["cart_soon"]["roc_auc"])
    ours, trained_on = report["money"]["models"]["cartcast"], trained.metrics["money"]["test"]["models"]["cartcast"]
    for name in ("mean", "ratio", "d2", "gain_10_percent"):
        assert ours[name] == pytest.approx(trained_on[name])
    priceless = dataclasses.replace(own, values=np.zeros_like(own.values))
    without = evaluate_checkpoint(priceless, of_shop, QUICK, ignore)
    assert without["money"] is None
    assert any("no purchase has a price" in note for note in without["notes"])


def test_what_joining_identities_adds_is_measured_after_a_login(checkpoint):
    events = list(simulate(SimulationSettings(events=20_000, users=400, seed=4, with_logins=True)))
    history, read = read_history(events), []

    def apart():
        read.append(read_history(events, follows_identities=False))
        return read[0]

    settings = dataclasses.replace(QUICK, after_ms=int(np.quantile(history.time_ms, 0.5)))
    report = evaluate_checkpoint(history, checkpoint, settings, ignore, apart=apart)
    group = report["slices"]["after_login"]
    assert 0 < group["events"] < report["slices"]["all"]["events"]
    joined, ids_apart = (group["models"][name]["24h"] for name in ("cartcast", "cartcast_without_identities"))
    assert joined["log_loss"] != ids_apart["log_loss"]
    assert len(read[0].logins) == 0 < len(history.logins)
    assert "cartcast_without_identities" not in report["slices"]["all"]["models"]


def test_without_identities_nothing_is_read_twice(history, checkpoint):
    def apart():
        raise AssertionError("not wanted")

    report = evaluate_checkpoint(history, checkpoint, QUICK, ignore, apart=apart)
    assert "after_login" not in report["slices"]

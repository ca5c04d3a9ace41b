"""Scores and explanations from Python: those of the command and the worker, in the caller's own kind of frame."""

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import cartcast
from tests.harness.command import run_command
from tests.harness.records import event_fields


@pytest.fixture(scope="module")
def events():
    return cartcast.simulate(1500, users=40, seed=2)


@pytest.fixture(scope="module")
def model():
    return cartcast.load()


def test_scores_are_those_of_the_command(events, model, tmp_path):
    file, out = tmp_path / "shop.jsonl", tmp_path / "scores.parquet"
    assert run_command("simulate", "--events", 1500, "--users", 40, "--seed", 2, "--out", file).status == 0
    assert run_command("score", "--events", file, "--out", out).status == 0
    scores = model.score(events)
    assert scores.equals(pq.read_table(out))
    assert scores.column_names[4:] == [f"propensity_{horizon}" for horizon in model.horizons]
    assert model.score(file).equals(scores)


@pytest.mark.parametrize(
    ("library", "frame"), [("pandas", pd.DataFrame), ("polars", pl.DataFrame), ("arrow", pa.Table)]
)
def test_scores_come_in_the_kind_of_frame_that_was_given(events, model, library, frame):
    given = getattr(events, f"to_{library}")()
    scores = model.score(given)
    assert isinstance(scores, frame)
    expected = model.score(events)["propensity_24h"].to_numpy()
    np.testing.assert_allclose(np.asarray(scores["propensity_24h"]), expected)


def test_what_cannot_be_scored_leaves_an_empty_frame_and_says_so(model):
    with pytest.warns(UserWarning, match="1 of 1 rows are no events and left out; .* row 1: ts is in seconds"):
        scores = model.score(pd.DataFrame([event_fields(ts=1_767_571_200)]))
    assert (len(scores), list(scores)[:3]) == (0, ["row", "user_id", "event_id"])


def test_an_explanation_leaves_each_event_out(model):
    own = [event_fields(event_id=f"e{n}", ts=1_767_571_200_000 + 60_000 * n, type=kind, item_id="i")
           for n, kind in enumerate(["view", "cart", "view"])]  # fmt: skip
    other = event_fields(event_id="x", user_id="other", ts=1_767_571_200_000)
    explained = model.explain([*own, other], "u").to_pandas()
    assert explained.event_id.tolist() == ["e0", "e1", "e2"]
    without = model.score([own[0], own[2]]).to_pandas().propensity_24h.iloc[-1]
    whole = model.score(own).to_pandas().propensity_24h.iloc[-1]
    assert explained.contribution_24h[1] == pytest.approx(whole - without, abs=2e-4)  # states are half precision
    assert model.explain(own, "u", event_id="e1").to_pandas().event_id.tolist() == ["e0", "e1"]
    assert isinstance(model.explain(pd.DataFrame(own), "u"), pd.DataFrame)
    for arguments, told in ((("nobody", None), "no event of shopper nobody"), (("u", "x"), "not among the last 32")):
        with pytest.raises(cartcast.CartcastError, match=told):
            model.explain(own, arguments[0], event_id=arguments[1])


def test_a_directory_that_is_no_checkpoint_is_refused(events, tmp_path):
    (tmp_path / "mine.txt").write_text("keep")
    with pytest.raises(cartcast.CartcastError):
        cartcast.load(tmp_path)
    with pytest.raises(cartcast.CartcastError, match="is no checkpoint"):
        cartcast.train(events, tmp_path)
    for wrong in ({"horizons": ["1x"]}, {"heads": ["next"]}, {"shop": tmp_path / "none.yml"}):
        with pytest.raises(cartcast.CartcastError):
            cartcast.train(events, tmp_path / "new", **wrong)


def test_what_a_shopper_does_not_consent_to_has_no_score(model):
    events = [
        {"event_id": f"{ms}", "user_id": "ann", "type": "view", "ts": 1_767_571_200_000 + ms, "context": context}
        for ms, context in enumerate([{"consent": True}, {"consent": False}, {"consent": {"ads": False}}, {}])
    ]
    assert model.score(events)["row"].to_pylist() == [0, 3]

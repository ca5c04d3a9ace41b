import json

import numpy as np
import pyarrow.parquet as pq
import pytest

from model.core.features import NUMERIC_FEATURES
from model.formats import read_events
from model.training.history import read_history
from tests.harness.command import run_command

START_MS = 1_700_000_000_000
HOUR_MS = 3_600_000
SHOP = """
types: {joined: none}
attributes: {stock: {kind: numeric}, brand: {kind: categorical}}
goals: {big_cart: {event: [cart], within: 2h}}
money: {within: 2h, currency: EUR}
"""
EVENTS = [
    (0, "u", "view"), (1, "u", "cart"), (1, "v", "joined"), (2, "u", "purchase"), (5, "v", "view"), (5, "v", "dance"),
]  # fmt: skip


@pytest.fixture
def history(tmp_path):
    path = tmp_path / "history.jsonl"
    lines = [
        {
            "event_id": f"e{number}", "user_id": user, "type": name, "ts": START_MS + hour * HOUR_MS, "price": 9.5,
            "attributes": {"stock": number, "brand": "acme"}, "text": "red boots",
        }
        for number, (hour, user, name) in enumerate(EVENTS)
    ]  # fmt: skip
    path.write_text("".join(json.dumps(line) + "\n" for line in lines) + "damaged\n")
    return path


def exported(*arguments: object) -> tuple[dict, list[dict]]:
    ended = run_command("export", *arguments, "--json")
    assert ended.status == 0, ended.stderr
    told = json.loads(ended.stdout.splitlines()[-1])
    return told, pq.read_table(told["out"]).to_pylist()


def test_rows_have_the_features_of_training_and_labels_that_are_known(tmp_path, history):
    told, rows = exported("--events", history, "--horizons", "session,90m", "--out", tmp_path / "features.parquet")
    assert (told["events"], told["users"], told["bad_rows"]) == (6, 2, 1)
    assert [(row["row"], row["user_id"], row["event_type"]) for row in rows] == [
        (0, "u", "view"), (1, "u", "cart"), (3, "u", "purchase"),
        (2, "v", "other"), (4, "v", "view"), (5, "v", "other"),
    ]  # fmt: skip
    assert [row["label_90m"] for row in rows] == [False, True, False, False, None, None]
    assert [row["label_session"] for row in rows] == [False, False, False, False, None, None]
    read = read_history(read_events(history, "cartcast"))
    found = np.array([[row[name] for name in NUMERIC_FEATURES] for row in rows], np.float32)
    assert np.array_equal(found, read.numeric)
    assert [row["item_code"] for row in rows] == read.items.tolist()
    assert [row["token_codes"] for row in rows] == read.tokens.tolist()
    assert rows[0]["event_time"] == START_MS


def test_a_shops_attributes_goals_and_money_are_columns(tmp_path, history):
    shop = tmp_path / "shop.yml"
    shop.write_text(SHOP)
    _, rows = exported("--events", history, "--shop", shop, "--out", tmp_path / "features.parquet")
    assert [row["attribute_stock"] > 0 for row in rows] == [False, True, True, True, True, True]
    assert {row["has_attribute_stock"] for row in rows} == {1}
    assert [row["event_type"] for row in rows][3] == "joined"
    assert [row["label_big_cart"] for row in rows] == [True, False, False, False, None, None]
    assert [row["amount_2h"] for row in rows] == [9.5, 9.5, 0.0, 0.0, None, None]
    assert len({row["attribute_brand_code"] for row in rows}) == 1


@pytest.mark.parametrize(
    ("changes", "status", "words"),
    [
        ({"--out": "features.csv"}, 2, "must end with .parquet"),
        ({"--out": "/dev/null/features.parquet"}, 2, "cannot be written"),
        ({"--horizons": "soon"}, 2, "--horizons"),
        ({"--events": "/nowhere.csv"}, 1, "cannot be read"),
    ],
)
def test_a_mistake_is_one_line_and_no_file(tmp_path, history, changes, status, words):
    options = {"--events": history, "--out": tmp_path / "features.parquet"} | changes
    ended = run_command("export", *(part for option in options.items() for part in option))
    assert (ended.status, words in ended.stderr.splitlines()[-1]) == (status, True)
    assert list(tmp_path.iterdir()) == [history]

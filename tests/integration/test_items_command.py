"""`cartcast items` on a real Kafka, as a shop runs it."""

import json

import pytest

from service.kafka_settings import Topics
from streams.item_topic import item_records
from streams.topics import create_topics
from tests.harness.command import Ended, run_command

pytestmark = pytest.mark.integration

LINES = [{"item_id": f"sku-{number}", "title": "Boots", "vector": [number, 1]} for number in range(20)]


@pytest.fixture
def topics(kafka, topic_prefix):
    topics = Topics(prefix=topic_prefix)
    create_topics({"bootstrap.servers": kafka}, topics, partitions=4, replication_factor=1)
    return topics


@pytest.fixture
def items(kafka, topics):
    def items(*arguments) -> Ended:
        return run_command("items", *arguments, "--bootstrap-servers", kafka, "--topic-prefix", topics.prefix)

    return items


def written(tmp_path, lines):
    file = tmp_path / "items.jsonl"
    file.write_text("\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines))
    return file


def test_items_are_loaded_shown_and_replaced(kafka, topics, items, tmp_path):
    bad = {"item_id": "sku-3", "price": "cheap"}
    loaded = items("load", written(tmp_path, [*LINES, bad]), "--json")
    assert loaded.status == 0, loaded.stderr
    counts = json.loads(loaded.stdout.splitlines()[-1])
    assert (counts["items"], counts["bad_rows_by_reason"], counts["removed"]) == (20, {"price": 1}, 0)
    assert "bad row: items.jsonl, line 21: price is a string, not a number" in loaded.stderr

    assert json.loads(items("show", "sku-7").stdout) == LINES[7]
    shown = json.loads(items("show", "--json").stdout)
    assert (shown["items"], shown["dimension"], shown["with"]["title"], shown["refused"]) == (20, 2, 20, {})

    replaced = items("load", written(tmp_path, [*LINES[:3], bad, {"item_id": "new"}]), "--replace")
    assert "sent 4 items, removed 16, left out 1 bad rows (20.0 % of all)" in replaced.stdout
    gone = items("show", "sku-7")
    assert (gone.status, "no item sku-7 is on the topic" in gone.stderr) == (1, True)
    assert json.loads(items("show", "sku-3").stdout) == LINES[3]  # a mistake in its row does not remove an item
    records = item_records({"bootstrap.servers": kafka}, topics.items)
    assert sum(record.value() is None for record in records) == 16


def test_nothing_is_removed_if_a_bad_row_may_be_about_any_item(items, tmp_path):
    assert items("load", written(tmp_path, LINES)).status == 0
    replaced = items("load", written(tmp_path, [LINES[0], '{"item_id": "sku-']), "--replace")
    assert replaced.status == 1
    assert "1 bad rows do not say which items they are about, so no item was removed" in replaced.stderr
    assert json.loads(items("show", "--json").stdout)["items"] == 20


def test_what_workers_refuse_is_listed(items, tmp_path):
    assert items("load", written(tmp_path, LINES)).status == 0
    assert items("load", written(tmp_path, [{"item_id": "other", "vector": [1]}])).status == 0
    refused = json.loads(items("show", "--refused", "--json").stdout)["refused"]
    assert [(each["offset"], each["key"], each["reason"]) for each in refused] == [(20, "other", "vector")]
    assert "partition 0, offset 20, key other: vector has 1 numbers, most have 2" in items("show", "--refused").stdout
    assert "refused 1 records: vector 1" in items("show").stdout


def test_wrong_files_and_a_missing_topic_are_one_line(kafka, items, tmp_path):
    missing = items("load", tmp_path / "none.xml")
    assert (missing.status, len(missing.stderr.splitlines())) == (1, 1)
    strict = items("load", written(tmp_path, [LINES[0], {"title": "no id"}]), "--strict")
    assert "line 2: item_id is missing; correct the row or read without --strict (1 items before" in strict.stderr
    for command in (["show"], ["load", written(tmp_path, LINES)]):
        elsewhere = run_command("items", *command, "--bootstrap-servers", kafka, "--topic-prefix", "none-such")
        assert elsewhere.status == 1
        assert "topic none-such.items does not exist" in elsewhere.stderr
    unknown = items("load", written(tmp_path, LINES), "--format", "xls")
    assert (unknown.status, "choose one of cartcast, csv, parquet, google" in unknown.stderr) == (2, True)

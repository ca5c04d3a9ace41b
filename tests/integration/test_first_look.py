"""A first look with no tool but `cartcast`: topics listed, an event sent and its score awaited, records printed."""

import json
from collections.abc import Callable
from urllib.request import Request, urlopen

import pytest

import cartcast as api
from tests.harness.command import Ended, run_command
from tests.harness.pipeline import Pipeline, pipelines
from tests.harness.waiting import eventually

pytestmark = pytest.mark.integration

EVENT = {"user_id": "shopper-1", "type": "cart", "item_id": "sku-1", "price": 19.9}


@pytest.fixture
def pipeline(kafka, topic_prefix, tmp_path):
    yield from pipelines(kafka, topic_prefix, tmp_path)


@pytest.fixture
def cartcast(pipeline: Pipeline) -> Callable[..., Ended]:
    def run(*arguments: str, status: int = 0) -> Ended:
        where = {
            "CARTCAST_KAFKA__BOOTSTRAP_SERVERS": pipeline.kafka,
            "CARTCAST_KAFKA__TOPIC_PREFIX": pipeline.topics.prefix,
        }
        ended = run_command(*arguments, environment=where)
        assert ended.status == status, ended.stderr
        return ended

    return run


def test_an_event_is_sent_and_its_score_printed_and_both_are_seen_on_their_topics(pipeline, cartcast):
    pipeline.start_worker()
    sent = json.loads(cartcast("send", json.dumps(EVENT), "--wait", "--json").stdout)
    assert (sent["user_id"], sent["score"]["event_id"]) == ("shopper-1", sent["event_id"])
    assert 0 < sent["score"]["propensity_session"] < 1

    (event,) = cartcast("tail", "events").stdout.splitlines()
    assert "  shopper-1  cart  item_id sku-1  price 19.9" in event
    (score,) = cartcast("tail", "scores").stdout.splitlines()
    assert "  shopper-1  cart  sku-1  session " in score
    (record,) = map(json.loads, cartcast("tail", "events", "--json").stdout.splitlines())
    assert record["value"] == EVENT | {"event_id": sent["event_id"], "ts": record["value"]["ts"]}
    assert record["key"] == "shopper-1"


def test_what_is_no_event_is_not_sent(pipeline, cartcast):
    for event, told in (
        ("{", "EVENT is not JSON"),
        ('{"user_id": "u"}', "this is no event (type)"),
        (json.dumps(EVENT | {"price": -1}), "this is no event (price)"),
    ):
        refused = cartcast("send", event, status=2).stderr
        assert told in refused
        assert refused.count("\n") == 1
    assert pipeline.count(pipeline.topics.events) == 0


def test_the_last_records_of_all_partitions_are_printed_in_the_order_of_their_arrival(cartcast):
    for number in range(12):
        cartcast("send", json.dumps(EVENT | {"user_id": f"shopper-{number}"}))
    shown = cartcast("tail", "events", "-n", "5").stdout.splitlines()
    assert [line.split("  ")[1] for line in shown] == [f"shopper-{number}" for number in range(7, 12)]
    assert cartcast("tail", "scores").stdout == ""
    assert "none of events, scores" in cartcast("tail", "states", status=2).stderr


def test_topics_are_listed_with_what_they_hold(pipeline, cartcast):
    cartcast("send", json.dumps(EVENT))
    listed = {each["name"]: each for each in json.loads(cartcast("topics", "list", "--json").stdout)["topics"]}
    events = {"name": pipeline.topics.events, "partitions": 4, "copies": 1, "records": 1}
    assert listed[pipeline.topics.events] == events
    assert listed[pipeline.topics.scores]["records"] == 0
    assert listed.keys() >= {pipeline.topics.dead_letters, pipeline.topics.changelog}
    assert pipeline.topics.events in cartcast("topics", "list").stdout
    nowhere = cartcast("topics", "list", "--topic-prefix", f"{pipeline.topics.prefix}-none").stdout
    assert nowhere.count("does not exist: run `cartcast topics create`") == len(listed)
    assert "does not exist" in cartcast("tail", "events", "--topic-prefix", "none", status=1).stderr


def test_an_event_over_http_is_scored(pipeline, cartcast):
    worker = pipeline.start_worker()
    cartcast("send", json.dumps(EVENT | {"user_id": "first"}), "--wait")
    address = worker.events("starting")[-1]["look_ups"] + "/v1/events"
    body = json.dumps(EVENT | {"event_id": "over-http", "ts": 1_767_571_200_000}).encode()
    with urlopen(Request(address, body, {"Content-Type": "application/json"})) as answer:  # noqa: S310 - http://
        assert json.loads(answer.read()) == {"accepted": 1, "rejected": []}
    eventually(lambda: "over-http" in cartcast("tail", "scores", "--json").stdout, "the score is published")


def test_a_program_reads_scores_and_asks_the_worker(pipeline, cartcast):
    worker = pipeline.start_worker()
    cartcast("send", json.dumps(EVENT), "--wait")
    (score,) = api.scores(bootstrap_servers=pipeline.kafka, topic_prefix=pipeline.topics.prefix)
    url = worker.events("starting")[-1]["look_ups"]
    assert api.Client(url).user("shopper-1")["propensities"]["24h"] == score["propensity_24h"]
    following = api.scores(bootstrap_servers=pipeline.kafka, topic_prefix=pipeline.topics.prefix, last=1, follow=True)
    assert next(following) == score
    cartcast("send", json.dumps(EVENT | {"event_id": "next"}), "--wait")
    assert next(following)["event_id"] == "next"
    following.close()

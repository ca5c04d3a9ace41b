"""The look-up API of real workers on a real Kafka, asked by a stock HTTP client."""

import http.client
import json
import socket
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import numpy as np
import pytest

from model.batch import event_hash
from model.checkpoint import DEFAULT_CHECKPOINT, load_checkpoint, save_checkpoint
from model.events import Event
from tests.harness.pipeline import PROPENSITIES, Pipeline, WorkerProcess, pipelines, shoppers

pytestmark = pytest.mark.integration

ODD_IDS = [
    "Zoë & co/sub?x=1#y",
    "'; DROP TABLE scores; --",
    "<script>alert(1)</script>",
    "🛒🛍️ 買い物",
    "%2F%00literally",
    ".",
    "..",
    "a b+c",
    "\n\r\t\x00",
    "x" * 500,
    "字" * 341,
]


@pytest.fixture
def pipeline(kafka: str, topic_prefix: str, tmp_path: Path) -> Iterator[Pipeline]:
    yield from pipelines(kafka, topic_prefix, tmp_path)


def url_of(pipeline: Pipeline, worker: WorkerProcess) -> str:
    pipeline.wait_until(lambda: bool(worker.events("starting")), "a worker's start")
    return str(worker.events("starting")[0]["look_ups"])


def ask(url: str, path: str, method: str = "GET", **headers: str) -> tuple[int, Any, dict[str, str]]:
    """Send a path as it is; return status, the JSON of the body, and the headers."""
    connection = http.client.HTTPConnection(urlsplit(url).netloc)
    try:
        connection.putrequest(method, path, skip_accept_encoding=True)
        for name, value in headers.items():
            connection.putheader(name.replace("_", "-"), value)
        connection.endheaders()
        answer = connection.getresponse()
        body = answer.read()
        assert answer.headers["Content-Type"].startswith("application/json")
        return answer.status, json.loads(body) if body else None, dict(answer.headers)
    finally:
        connection.close()


def path_of(user: str, rest: str = "") -> str:
    return f"/v1/users/{quote(user, safe='').replace('.', '%2E')}{rest}"


def last_scores(pipeline: Pipeline) -> dict[str, dict[str, Any]]:
    """The last score of every shopper."""
    scores = pipeline.scores()
    return {scores[coordinates]["user_id"]: scores[coordinates] for coordinates in sorted(scores)}


def odd_events(count: int = 3) -> list[Event]:
    return [
        Event(event_id=f"odd-{number}-{place}", user_id=user, type="view", ts=1_700_000_000_000 + 1000 * place)
        for number, user in enumerate(ODD_IDS)
        for place in range(count)
    ]


def scored(pipeline: Pipeline, events: Sequence[Event]) -> int:
    pipeline.produce(events)
    count = len({event.event_id for event in events})
    pipeline.wait_for_scores(count)
    return count


def check_answers(url: str, expected: dict[str, dict[str, Any]], events: Sequence[Event]) -> None:
    """Every shopper's answer is their last published score."""
    ids: dict[str, dict[str, Event]] = {}
    for event in events:
        ids.setdefault(event.user_id, {})[event.event_id] = event
    for user, score in expected.items():
        status, answer, _ = ask(url, path_of(user))
        assert status == 200, answer
        assert answer["user_id"] == user
        assert [answer["propensities"][name.removeprefix("propensity_")] for name in PROPENSITIES] == [
            score[name] for name in PROPENSITIES
        ]
        assert not answer["rebuilt"]
        assert answer["model"] == score["model"]
        assert answer["events"] == len(ids[user])
        assert len(answer["last_events"]) == min(32, len(ids[user]))
        newest = answer["last_events"][-1]
        assert newest["type"] == score["event_type"]
        assert newest["event_hash"] == f"{event_hash(score['event_id']):016x}"[:9]
        assert answer["last_event_time"] == max(event.ts for event in ids[user].values())
        as_of = answer["as_of"]
        assert (as_of["topic"], as_of["partition"]) == (score["source_topic"], score["source_partition"])
        assert as_of["offset"] >= score["source_offset"]


def test_a_look_up_is_the_last_published_score_whatever_the_shopper_is_called_also_after_a_restart(
    pipeline: Pipeline, tmp_path: Path
) -> None:
    events = [*shoppers(1500, users=40, seed=5), *odd_events()]
    worker = pipeline.start_worker()
    url = url_of(pipeline, worker)
    scored(pipeline, events)
    expected = last_scores(pipeline)
    assert set(ODD_IDS) < set(expected)
    check_answers(url, expected, events)
    explained = {user: ask(url, path_of(user, "/explanation"))[1] for user in expected}
    for user, explanation in explained.items():
        check_explanation(explanation, expected[user])
    assert worker.stop() == 0

    worker = pipeline.start_worker()
    url = url_of(pipeline, worker)
    pipeline.wait_until(lambda: bool(worker.events("ready")), "the restored states")
    check_answers(url, expected, events)
    for user, explanation in explained.items():
        assert ask(url, path_of(user, "/explanation"))[1] == explanation
    assert worker.stop() == 0

    successor = other_model(tmp_path / "successor")
    worker = pipeline.start_worker(CARTCAST_WORKER__CHECKPOINT=str(successor))
    url = url_of(pipeline, worker)
    pipeline.wait_until(lambda: bool(worker.events("ready")), "the restored states")
    for user, explanation in explained.items():
        status, answer, _ = ask(url, path_of(user))
        assert (status, answer["rebuilt"]) == (200, True)
        assert answer["model"] != explanation["model"]
        again = ask(url, path_of(user, "/explanation"))[1]
        assert again["propensity"] is None
        assert again["from_ring"] == pytest.approx(answer["propensities"], abs=1e-6)
    assert worker.stop() == 0


def other_model(directory: Path) -> Path:
    checkpoint = load_checkpoint(DEFAULT_CHECKPOINT)
    for parameter in checkpoint.model.heads.parameters():
        parameter.data += 0.25
    save_checkpoint(directory, checkpoint.model, calibration=checkpoint.calibration, metrics={}, training={})
    return directory


def check_explanation(explanation: dict[str, Any], score: dict[str, Any]) -> None:
    events = explanation["events"]
    assert [event["position"] for event in events] == list(range(len(events) - 1, -1, -1))
    assert explanation["event"] == {name: events[-1][name] for name in ("event_time", "type", "event_hash")}
    assert explanation["event"]["event_hash"] == f"{event_hash(score['event_id']):016x}"[:9]
    for name in PROPENSITIES:
        horizon = name.removeprefix("propensity_")
        assert explanation["propensity"][horizon] == score[name]
        if not explanation["earlier_events"]:  # prices at half precision, times in seconds
            assert explanation["from_ring"][horizon] == pytest.approx(score[name], abs=5e-3)
        moves = [event["contribution"][horizon] for event in events]
        assert moves == [None] if len(events) == 1 else np.isfinite(moves).all()


def test_an_earlier_event_can_be_explained_while_it_is_stored(pipeline: Pipeline) -> None:
    events = [event for event in shoppers(2000, users=20, seed=6) if event.user_id == "user-6-0"]
    worker = pipeline.start_worker()
    url = url_of(pipeline, worker)
    scored(pipeline, events)
    distinct = list({event.event_id: event for event in events}.values())
    path = path_of("user-6-0", "/explanation")
    for back in (1, 5, 32):
        status, explanation, _ = ask(url, f"{path}?event_id={distinct[-back].event_id}")
        assert status == 200
        assert explanation["event"]["event_hash"] == f"{event_hash(distinct[-back].event_id):016x}"[:9]
        assert len(explanation["events"]) == 33 - back
        assert explanation["earlier_events"] == len(distinct) - 32
        assert (explanation["propensity"] is None) == (back > 1)
    for missing in (distinct[-33].event_id, "never%20sent", "%F0%9F%9B%92"):
        status, refusal, _ = ask(url, f"{path}?event_id={missing}")
        assert (status, refusal["error"]["code"]) == (404, "event_not_stored")


def test_every_refusal_is_json_with_a_code_and_gives_nothing_away(pipeline: Pipeline) -> None:
    worker = pipeline.start_worker()
    url = url_of(pipeline, worker)
    scored(pipeline, odd_events(1))
    for path, status, code in [
        ("/v1/users/nobody", 404, "unknown_user"),
        ("/v1/users/nobody/explanation", 404, "unknown_user"),
        ("/v1/users/", 404, "no_such_path"),
        ("/v1/users", 404, "no_such_path"),
        ("/", 404, "no_such_path"),
        ("/router/", 404, "no_such_path"),
        ("/table/", 404, "no_such_path"),
        ("/graph", 404, "no_such_path"),
        ("/v1/users/a/b", 404, "no_such_path"),
        ("/v1/users/%FF%FE", 400, "bad_request"),
        ("/v1/users/a/explanation?event_id=", 400, "bad_request"),
        ("/v1/users/a/explanation?event_id=1&event_id=2", 400, "bad_request"),
        ("/v1/users/a/explanation?event_id=" + 1025 * "e", 400, "bad_request"),
        ("/v1/users/" + 1025 * "u", 414, "too_long"),
        ("/v1/users/" + 1024 * "%C3", 400, "bad_request"),
        ("/v1/users/" + 1025 * "%C3", 414, "too_long"),
        ("/" + 7000 * "u", 414, "too_long"),
        ("/" + 100_000 * "u", 414, "too_long"),
    ]:
        answered, refusal, _ = ask(url, path)
        assert (answered, refusal["error"]["code"]) == (status, code), path[:60]
        assert set(refusal) == {"error"}
        assert refusal["error"].keys() == {"code", "message"}
    for method in ("POST", "PUT", "PATCH", "OPTIONS", "TRACE", "SEARCH"):
        answered, refusal, headers = ask(url, path_of(ODD_IDS[0]), method)
        assert (answered, refusal["error"]["code"], headers["Allow"]) == (405, "method", "DELETE,GET,HEAD")
    answered, _, headers = ask(url, path_of(ODD_IDS[0]), "HEAD")
    assert (answered, int(headers["Content-Length"]) > 100) == (200, True)
    assert (headers["Server"], headers["Cache-Control"]) == ("cartcast", "no-store")
    assert ask(url, path_of(ODD_IDS[0]), Content_Length="10000000")[0] == 413
    assert ask(url, path_of(ODD_IDS[0]), Transfer_Encoding="chunked")[0] == 413
    status, document, _ = ask(url, "/v1/openapi.json")
    assert (status, document) == (200, json.loads(Path("docs/contracts/openapi.json").read_bytes()))
    for nonsense in (b"\x16\x03\x01\x02\x00\x01\x00\x01", b"GET / HTTP/1.1\r\nHost\r\n\r\n", b"FLY  \r\n\r\n"):
        with socket.create_connection((urlsplit(url).hostname, urlsplit(url).port)) as client:
            client.sendall(nonsense + b"\r\n\r\n")
            answer = client.recv(100_000)
        assert answer.startswith((b"HTTP/1.1 4", b"HTTP/1.0 4"))
        assert b'{"error":' in answer
    assert "Traceback" not in worker.log.read_text()
    assert worker.stop() == 0


def test_any_of_two_workers_answers_for_every_shopper_and_the_one_that_stays_takes_over(pipeline: Pipeline) -> None:
    events = [*shoppers(1200, users=60, seed=7), *odd_events()]
    one, two = workers = [pipeline.start_worker(), pipeline.start_worker()]
    urls = [url_of(pipeline, worker) for worker in workers]
    assert len(set(urls)) == 2
    pipeline.wait_until(lambda: _share(workers) == 4, "both workers' partitions")
    scored(pipeline, events)
    expected = last_scores(pipeline)
    for url in urls:
        check_answers(url, expected, events)
    assert ask(urls[0], path_of("nobody/explanation"))[0] == ask(urls[1], path_of("nobody/explanation"))[0] == 404
    explanations = [[ask(url, path_of(user, "/explanation"))[1] for user in ODD_IDS] for url in urls]
    assert explanations[0] == explanations[1]
    theirs = [user for user in expected if ask(urls[0], path_of(user), X_Cartcast_Forwarded="1")[0] == 503]
    assert 0 < len(theirs) < len(expected)

    two.kill()
    answered, refusal, headers = ask(urls[0], path_of(theirs[0]))
    assert (answered, headers["Retry-After"]) == (503, "1")
    assert refusal["error"]["code"] in {"owner_away", "moving", "restoring"}
    pipeline.workers.remove(two)
    pipeline.wait_until(lambda: ask(urls[0], path_of(theirs[0]))[0] == 200, "the partitions of the other worker")
    pipeline.wait_until(lambda: len(one.events("ready")[-1]["partitions"]) == 4, "all partitions")
    check_answers(urls[0], expected, events)
    assert one.stop() == 0


def _share(workers: Sequence[WorkerProcess]) -> int:
    latest = [worker.events("ready")[-1:] for worker in workers]
    shares = [ready["partitions"] for readies in latest for ready in readies]
    owned = [partition for share in shares for partition in share]
    return len(owned) if len(shares) == 2 and all(shares) and len(set(owned)) == len(owned) else 0


def test_a_port_that_was_asked_for_and_is_in_use_is_one_line(pipeline: Pipeline) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        worker = pipeline.start_worker(CARTCAST_WORKER__WEB_PORT=str(port))
        assert worker.process.wait() == 1
    assert worker.log.read_text().splitlines()[-1] == (
        f"cartcast: port {port} of 127.0.0.1 is in use: set CARTCAST_WORKER__WEB_PORT to another, or to 0 for none"
    )
    pipeline.workers.clear()


def test_a_worker_without_look_ups_scores_and_the_others_say_that_it_has_none(pipeline: Pipeline) -> None:
    workers = [pipeline.start_worker(), pipeline.start_worker(CARTCAST_WORKER__WEB_PORT="0")]
    url = url_of(pipeline, workers[0])
    pipeline.wait_until(lambda: _share(workers) == 4, "both workers' partitions")
    scored(pipeline, shoppers(500, users=60, seed=8))
    answers = [ask(url, path_of(user)) for user in last_scores(pipeline)]
    refused = [answer for status, answer, _ in answers if status == 503]
    assert 0 < len(refused) < len(answers)
    assert {answer["error"]["code"] for answer in refused} == {"owner_away"}
    assert [worker.stop() for worker in workers] == [0, 0]

import pytest

from model.events import Event
from model.validate import BadRow
from service.errors import RefusedError
from service.kafka_settings import Topics
from streams.replay import KEPT_BAD_ROWS, EventProducer, Replay, at_once, at_rate, at_speed


class MemoryProducer(EventProducer):
    """Keeps what it is given, and lets a clock of its own run while it waits."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.sent_at: list[float] = []
        self.dead_letters: list[tuple[str, BadRow]] = []
        self.now = 100.0

    def send(self, event):
        self.events.append(event)
        self.sent_at.append(self.now - 100.0)

    def send_dead_letter(self, file_name, row):
        self.dead_letters.append((file_name, row))

    def wait(self, seconds):
        self.now += seconds


def event_at(ts_ms: int) -> Event:
    return Event(event_id=str(ts_ms), user_id="u", type="view", ts=ts_ms)


def bad_row(line: int) -> BadRow:
    return BadRow(line, "columns", "the row has 3 columns, not 5", b"a,b,c")


def replay(rows, schedule) -> tuple[MemoryProducer, Replay]:
    producer = MemoryProducer()
    run = Replay(producer, schedule, clock=lambda: producer.now)
    run.send_rows("history.csv", rows)
    return producer, run


def test_events_go_in_file_order_whatever_their_times():
    events = [event_at(ts) for ts in (3000, 1000, 2000)]
    producer, run = replay(events, at_once)
    assert producer.events == events
    assert run.replayed.events == 3


def test_a_damaged_row_goes_to_the_dead_letters_in_its_place():
    producer, run = replay([event_at(1000), bad_row(2), event_at(3000)], at_once)
    assert producer.dead_letters == [("history.csv", bad_row(2))]
    assert run.replayed.bad_rows == 1


def test_only_the_first_damaged_rows_are_kept_but_all_are_counted():
    _, run = replay([bad_row(line) for line in range(50)], at_once)
    assert run.replayed.bad_rows == 50
    assert [row.line for _, row in run.replayed.first_bad_rows] == list(range(KEPT_BAD_ROWS))


def test_at_rate_spaces_events_evenly():
    producer, _ = replay([event_at(ts) for ts in range(5)], at_rate(2))
    assert producer.sent_at == pytest.approx([0, 0.5, 1.0, 1.5, 2.0], abs=0.002)


def test_at_speed_keeps_the_gaps_of_history():
    producer, _ = replay([event_at(ts) for ts in (0, 10_000, 60_000)], at_speed(10))
    assert producer.sent_at == pytest.approx([0, 1.0, 6.0], abs=0.002)


def test_at_speed_sends_an_event_out_of_order_at_once():
    producer, _ = replay([event_at(ts) for ts in (50_000, 60_000, 0, 70_000)], at_speed(10))
    assert producer.sent_at == pytest.approx([0, 1.0, 1.0, 2.0], abs=0.002)


def test_at_speed_since_a_moment_sends_what_happened_before_at_once():
    producer, _ = replay([event_at(ts) for ts in (0, 10_000, 20_000, 60_000)], at_speed(10, since_ms=20_000))
    assert producer.sent_at == pytest.approx([0, 0, 0, 4.0], abs=0.002)


NOBODY_LISTENS = {
    "bootstrap.servers": "127.0.0.1:1",
    "message.timeout.ms": 200,
    "socket.connection.setup.timeout.ms": 1000,
}


def test_what_no_broker_takes_is_an_error_not_a_loss():
    producer = EventProducer(NOBODY_LISTENS, Topics())
    for ts in range(10):
        producer.send(event_at(ts))
    with pytest.raises(RefusedError, match="10 of 10 messages were not delivered"):
        producer.flush()
    assert producer.confirmed == 0


def test_a_full_queue_makes_the_sender_wait_until_something_fails_or_drains():
    producer = EventProducer({**NOBODY_LISTENS, "queue.buffering.max.messages": 5}, Topics())
    run = Replay(producer)
    with pytest.raises(RefusedError, match="were not delivered"):
        run.send_rows("history.csv", map(event_at, range(10)))


def test_a_failure_while_sending_is_not_hidden_by_one_of_delivery():
    def send_and_fail():
        with EventProducer(NOBODY_LISTENS, Topics()) as producer:
            producer.send(event_at(1))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        send_and_fail()

"""The job of the benchmark on Faust as its documentation shows it: one agent, one table with a changelog."""

import os
import struct

import faust

ENTRY_BYTES = 16
EMPTY = bytes(1024)


class Event(faust.Record, serializer="json"):
    """What the job reads of an event."""

    event_id: str
    user_id: str
    type: str
    ts: int


class Score(faust.Record, serializer="json", include_metadata=False):
    """What it writes."""

    user_id: str
    event_id: str
    event_type: str
    event_time: int
    propensity: float
    model: str


app = faust.App(
    os.environ["BENCH_GROUP"],
    broker=f"kafka://{os.environ['BENCH_KAFKA']}",
    datadir=os.environ["BENCH_DIRECTORY"],
    store="memory://",
    topic_partitions=int(os.environ["BENCH_PARTITIONS"]),
    topic_replication_factor=1,
    broker_commit_interval=int(os.environ["BENCH_COMMIT_MS"]) / 1000,
    consumer_auto_offset_reset="earliest",
    producer_acks=-1,
    web_enabled=False,
)
events = app.topic(os.environ["BENCH_EVENTS"], key_type=bytes, value_type=Event)
scores = app.topic(os.environ["BENCH_SCORES"], key_type=bytes, value_type=Score)
rings = app.Table("rings", default=lambda: EMPTY, key_type=str, value_type=bytes)


@app.agent(events)
async def score(stream: "faust.StreamT[Event]") -> None:
    """Keep the last 64 entries of 16 bytes a shopper."""
    async for event in stream:
        entry = struct.pack(">qQ", event.ts, hash(event.event_id) & 0xFFFFFFFFFFFFFFFF)
        rings[event.user_id] = rings[event.user_id][ENTRY_BYTES:] + entry
        scored = Score(
            user_id=event.user_id,
            event_id=event.event_id,
            event_type=event.type,
            event_time=event.ts,
            propensity=0.5,
            model="none",
        )
        await scores.send(key=event.user_id.encode(), value=scored)


if __name__ == "__main__":
    app.main()

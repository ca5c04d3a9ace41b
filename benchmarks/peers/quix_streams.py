"""The job of the benchmark on Quix Streams: a RocksDB store with changelog, at-least-once.

Runs in an environment of its own, which has nothing of Cartcast's.
"""

import os
import struct
from typing import Any

from quixstreams import Application, State

ENTRY_BYTES = 16
EMPTY = bytes(1024)


def score(event: dict[str, Any], state: State) -> dict[str, Any]:
    """Keep the last 64 entries of 16 bytes a shopper."""
    entry = struct.pack(">qQ", event["ts"], hash(event["event_id"]) & 0xFFFFFFFFFFFFFFFF)
    state.set_bytes("ring", state.get_bytes("ring", EMPTY)[ENTRY_BYTES:] + entry)
    return {
        "user_id": event["user_id"],
        "event_id": event["event_id"],
        "event_type": event["type"],
        "event_time": event["ts"],
        "propensity": 0.5,
        "model": "none",
    }


def main() -> None:
    app = Application(
        broker_address=os.environ["BENCH_KAFKA"],
        consumer_group=os.environ["BENCH_GROUP"],
        auto_offset_reset="earliest",
        commit_interval=int(os.environ["BENCH_COMMIT_MS"]) / 1000,
        state_dir=os.environ["BENCH_DIRECTORY"],
        processing_guarantee="at-least-once",
        producer_extra_config={"acks": "all"},
        loglevel="WARNING",
    )
    events = app.topic(os.environ["BENCH_EVENTS"], value_deserializer="json", key_deserializer="bytes")
    scores = app.topic(os.environ["BENCH_SCORES"], value_serializer="json", key_serializer="bytes")
    frame = app.dataframe(events)
    frame = frame.apply(score, stateful=True)
    frame.to_topic(scores)
    app.run()


if __name__ == "__main__":
    main()

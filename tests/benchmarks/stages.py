"""What each stage of scoring costs: microseconds of CPU an event, in one thread, for fetches of several sizes.

Run by `make bench`. Compare figures of one run only: the machine's speed is part of them.
"""

import time
from collections import defaultdict
from collections.abc import Callable
from typing import Any

import msgspec
import numpy as np
import torch

from model.append import Source
from model.checkpoint import DEFAULT_CHECKPOINT, load_checkpoint
from model.decode import decode_events
from model.inference import Scorer
from model.scoring import finish, prepare_batch
from model.simulator import SimulationSettings, simulate
from model.states import StateCodec
from streams.fetch import Fetch
from streams.messages import score_records

EVENTS, USERS = 60_000, 20_000
FETCH_EVENTS = (5000, 500, 20)


class Stages:
    """Adds up the CPU time of each stage."""

    def __init__(self) -> None:
        self.seconds: defaultdict[str, float] = defaultdict(float)

    def run(self, stage: str, work: Callable[[], Any]) -> Any:
        began = time.thread_time()
        result = work()
        self.seconds[stage] += time.thread_time() - began
        return result


def score_all(keys: list[bytes], values: list[bytes], size: int) -> Stages:
    """Score all events in fetches of `size`, as a lane does, and return what each stage cost."""
    checkpoint = load_checkpoint(DEFAULT_CHECKPOINT)
    codec = StateCodec(checkpoint.model.config.carried_floats, checkpoint.code)
    scorer, stages, table = Scorer(checkpoint, torch.device("cpu")), Stages(), {}
    for start in range(0, len(keys), size):
        offsets = np.arange(start, min(start + size, len(keys)))
        fetch = Fetch("events", 0, keys[start : start + size], values[start : start + size], offsets, offsets)
        batch, _ = stages.run("decode", lambda fetch=fetch: decode_events(fetch.values, fetch.keys))
        users, index = np.unique(np.array(fetch.keys, object), return_inverse=True)
        states = stages.run("gather", lambda users=users: codec.gather([table.get(user) for user in users]))
        source = Source(1, fetch.offsets)
        prepared = stages.run(
            "append and features", lambda s=states, i=index, b=batch, source=source: prepare_batch(s, i, b, source)
        )
        scored = stages.run("inference", lambda prepared=prepared: scorer.score(prepared.request))
        propensities = finish(states, prepared, scored)
        table.update(zip(users, stages.run("scatter", lambda s=states: codec.scatter(s)), strict=True))
        stages.run(
            "encode",
            lambda f=fetch, b=batch, r=prepared.appended.rows, p=propensities: score_records(
                f, b, r, p, model="m", scored_at_ms=0
            ),
        )
    return stages


def main() -> None:
    torch.set_num_threads(1)
    events = list(simulate(SimulationSettings(events=EVENTS, users=USERS, seed=1)))
    keys = [event.user_id.encode() for event in events]
    values = [msgspec.json.encode(event) for event in events]
    print("microseconds of CPU an event, one thread")
    for size in FETCH_EVENTS:
        stages = score_all(keys, values, size)
        costs = {stage: seconds / EVENTS * 1e6 for stage, seconds in stages.seconds.items()}
        parts = "  ".join(f"{stage} {cost:.2f}" for stage, cost in costs.items())
        print(f"fetches of {size:>5}: {sum(costs.values()):6.2f} = {parts}")


if __name__ == "__main__":
    main()

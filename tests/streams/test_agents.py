from types import SimpleNamespace

from streams.agents import score_events


class MemoryStream:
    """The part of a Faust stream that the agent uses: it must acknowledge nothing by itself."""

    def __init__(self, events) -> None:
        self.acknowledges, self._events = True, events

    def noack(self):
        self.acknowledges = False
        return self

    async def events(self):
        assert not self.acknowledges
        for event in self._events:
            yield event


async def test_the_agent_hands_each_fetch_on_with_its_acknowledgement_and_does_not_call_it():
    acknowledged, taken = [], []
    events = [SimpleNamespace(value=f"fetch {n}", ack=lambda n=n: acknowledged.append(n)) for n in range(3)]

    async def take(fetch, acknowledge):
        taken.append((fetch, acknowledge))

    await score_events(take)(MemoryStream(events))
    assert [fetch for fetch, _ in taken] == ["fetch 0", "fetch 1", "fetch 2"]
    assert acknowledged == []
    for _, acknowledge in reversed(taken):
        acknowledge()
    assert acknowledged == [2, 1, 0]

"""The agent."""

from collections.abc import Awaitable, Callable
from typing import cast

from faust.streams import Stream
from faust.types import StreamT

from streams.fetch import Fetch

TakeFetch = Callable[[Fetch, Callable[[], object]], Awaitable[None]]


def score_events(take: TakeFetch) -> Callable[[StreamT[Fetch]], Awaitable[None]]:
    """Return the agent that hands each fetch of the events topic to its partition's lane.

    The lane decodes, appends, scores, publishes and then acknowledges; the agent meanwhile takes the next fetch.
    """

    async def score_events(fetches: StreamT[Fetch]) -> None:
        async for event in cast("Stream[Fetch]", fetches).noack().events():
            await take(event.value, event.ack)

    return score_events

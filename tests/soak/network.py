"""TCP ways to a server on this machine, each of which can be cut, stalled, slowed down or made one-way."""

import asyncio
import threading
from collections.abc import Coroutine
from typing import Any, TypeVar

from cartcast.local.ports import LOOPBACK
from tests.harness.ports import new_port

CHUNK_BYTES = 1 << 16
UP, DOWN = "up", "down"
"""From a client to its server, and back."""
T = TypeVar("T")


class Network:
    """A thread with an event loop that carries the bytes of all its ways."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="network", daemon=True)
        self._thread.start()
        self._ways: list[Way] = []

    def way(self, target: int, port: int | None = None) -> "Way":
        """Return a new open way to a port of this machine."""
        way = Way(self, port or new_port(), target)
        self.run(way.open())
        self._ways.append(way)
        return way

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result()

    def close(self) -> None:
        self.run(self._end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _end(self) -> None:
        for way in self._ways:
            await way.close()
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


class Way:
    """One address that leads to a server."""

    def __init__(self, network: Network, port: int, target: int) -> None:
        self.port = port
        self._network = network
        self._target = target
        self._is_cut = False
        self._delay_seconds = 0.0
        self._passes = {UP: asyncio.Event(), DOWN: asyncio.Event()}
        self._writers: set[asyncio.StreamWriter] = set()

    async def open(self) -> None:
        for passes in self._passes.values():
            passes.set()
        self._server = await asyncio.start_server(self._serve, LOOPBACK, self.port)

    def cut(self) -> None:
        """Reset every connection, and each new one."""
        self._network.run(self._cut())

    def stall(self, *directions: str) -> None:
        """Hold the bytes of these directions back, without closing anything: what a lost route looks like."""
        self._network.run(self._set(lambda: [self._passes[each].clear() for each in directions or (UP, DOWN)]))

    def slow_down(self, delay_seconds: float) -> None:
        """Let each piece wait, in both directions."""
        self._delay_seconds = delay_seconds

    def heal(self) -> None:
        """Let everything pass again, also what was held back."""
        self._is_cut, self._delay_seconds = False, 0.0
        self._network.run(self._set(lambda: [passes.set() for passes in self._passes.values()]))

    async def close(self) -> None:
        """Listen no more, and reset every connection."""
        self._server.close()
        await self._cut()

    async def _set(self, change: Any) -> None:
        change()

    async def _cut(self) -> None:
        self._is_cut = True
        for writer in list(self._writers):
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            if self._is_cut:
                return
            server_reader, server_writer = await asyncio.open_connection(LOOPBACK, self._target)
            self._writers.add(server_writer)
            await asyncio.gather(self._pump(UP, reader, server_writer), self._pump(DOWN, server_reader, writer))
            self._writers.discard(server_writer)
        except OSError:
            pass  # the client sees its connection end
        finally:
            self._writers.discard(writer)
            writer.transport.abort()

    async def _pump(self, direction: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(CHUNK_BYTES):
                await self._passes[direction].wait()
                if self._delay_seconds:
                    await asyncio.sleep(self._delay_seconds)
                writer.write(data)
                await writer.drain()
        except OSError:
            pass
        finally:
            writer.transport.close()

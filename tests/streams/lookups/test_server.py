"""What clients may hold of a worker's server: connections, and the time to say what they want."""

import asyncio
import socket

import pytest
from aiohttp import ClientSession, web
from structlog.testing import capture_logs

from streams.lookups import server
from streams.lookups.server import ListeningSite


@pytest.fixture
async def site():
    """A page that answers `ok`; yields its address."""

    async def page(_: web.Request) -> web.Response:
        return web.Response(text="ok")

    application = web.Application()
    application.router.add_get("/", page)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    listener = socket.create_server(("127.0.0.1", 0))
    address = listener.getsockname()
    await ListeningSite(runner, listener, lambda status, _: web.Response(status=status)).start()
    yield address
    await runner.cleanup()


async def ask(address) -> int:
    async with ClientSession() as client, client.get(f"http://{address[0]}:{address[1]}/") as answer:
        return answer.status


async def connections(address, count: int) -> list[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    opened = [await asyncio.open_connection(*address) for _ in range(count)]
    for _, writer in opened:
        writer.write(b"GET / HTTP/1.1\r\n")
    return opened


async def test_a_client_that_never_ends_its_head_is_cut_off(site, monkeypatch):
    monkeypatch.setattr(server, "CLIENT_SECONDS", 0.1)
    [(reader, writer)] = await connections(site, 1)
    writer.write(b"X-Slow: ")
    assert await reader.read() == b""
    writer.close()


async def test_who_was_answered_may_ask_again_on_the_same_connection(site, monkeypatch):
    monkeypatch.setattr(server, "CLIENT_SECONDS", 0.5)
    async with ClientSession() as client:
        for _ in range(3):
            async with client.get(f"http://127.0.0.1:{site[1]}/") as answer:
                assert (answer.status, await answer.text()) == (200, "ok")
            await asyncio.sleep(0.3)


async def test_of_too_many_connections_the_oldest_go(site, monkeypatch):
    monkeypatch.setattr(server, "MAX_CONNECTIONS", 3)
    held = await connections(site, 9)
    assert await ask(site) == 200
    assert [await reader.read() for reader, _ in held[:6]] == [b""] * 6
    for _, writer in held:
        writer.close()


async def test_that_nothing_can_be_accepted_is_one_line_and_passes(site, monkeypatch):
    monkeypatch.setattr(server, "_RETRY_SECONDS", 0.01)
    loop, refused = asyncio.get_running_loop(), 0
    accept = loop.sock_accept

    async def failing(listener):
        nonlocal refused
        accepted = await accept(listener)
        if refused < 3:
            refused += 1
            accepted[0].close()
            raise OSError(24, "Too many open files")
        return accepted

    with capture_logs() as lines:
        monkeypatch.setattr(loop, "sock_accept", failing)
        for _, writer in await connections(site, 5):
            writer.close()
        assert await ask(site) == 200
    assert [line["reason"] for line in lines] == ["Too many open files"]

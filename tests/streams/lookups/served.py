"""Applications that are not started, whose pages are served over real HTTP."""

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass

from aiohttp import ClientSession, ClientTimeout
from faust.types import TP
from yarl import URL

from model.checkpoint import Checkpoint
from model.inference import InferenceWorker
from service.pseudonyms import NO_PSEUDONYMS, Pseudonyms
from streams.app import create_app
from streams.lookups.listener import open_listener
from streams.settings import StreamSettings, WorkerSettings
from streams.transport import BatchApp
from tests.streams.fetches import TOPICS
from tests.streams.lookups.look_ups import IDENTITY, PARTITIONS, own
from tests.streams.memory_publisher import MemoryPublisher


@dataclass(frozen=True)
class Served:
    app: BatchApp
    url: URL

    async def get(self, path: str, **headers: str) -> tuple[int, dict]:
        async with ClientSession(timeout=ClientTimeout(total=None)) as client:
            url = URL.build(scheme="http", authority=self.url.authority, path=path, encoded=True)
            async with client.get(url, headers=headers) as answer:
                return answer.status, await answer.json() | {"retry": answer.headers.get("Retry-After")}

    async def post(self, path: str, body: bytes, **headers: str) -> tuple[int, dict]:
        url = f"{str(self.url).rstrip('/')}{path}"
        async with ClientSession() as client, client.post(url, data=body, headers=headers) as answer:
            return answer.status, await answer.json()


Serve = Callable[..., Awaitable[Served]]


async def serving(inference: InferenceWorker, checkpoint: Checkpoint) -> AsyncIterator[Serve]:
    """Serve look-ups for some partitions; the application itself is not started."""
    applications: list[BatchApp] = []

    async def serve(
        partitions=range(PARTITIONS),
        *,
        restored=True,
        model: Checkpoint = checkpoint,
        token: str = "",
        pseudonyms: Pseudonyms = NO_PSEUDONYMS,
        **parts: object,
    ) -> Served:
        """`parts` are further ones of `create_app`."""
        settings = StreamSettings(
            client_config={"bootstrap.servers": "one:9092"},
            topics=TOPICS,
            partitions=PARTITIONS,
            source_identity=IDENTITY,
            worker=WorkerSettings(web_token=token),
            pseudonyms=pseudonyms,
        )
        listener = open_listener(settings.worker)
        app = create_app(
            settings, publisher=MemoryPublisher(), inference=inference, checkpoint=model, listener=listener, **parts
        )
        own(app, partitions, restored=restored)
        app.web.init_server()
        await app.web.start_server()
        applications.append(app)
        return Served(app, app.conf.canonical_url)

    yield serve
    for app in applications:
        await app._maybe_close_http_client()
        await app.web.stop_server()


def route(asked: Served, partition: int, owner: URL) -> None:
    asked.app.assignor._tps_url[TP(TOPICS.changelog, partition)] = str(owner)

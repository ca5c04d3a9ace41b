import gc
import threading
import warnings
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from cartcast.local.kafka_jars import KAFKA_VERSION, kafka_jars
from service.errors import LocalStackError
from tests.harness.ports import new_port


def silent(_: str) -> None: ...


@pytest.fixture(autouse=True)
def _sockets_that_jgo_left_open() -> Iterator[None]:
    """Collect them here: what the collector finds later would fail another test."""
    yield
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()


@pytest.fixture(params=[404, 200])
def registry_without_kafka(request: pytest.FixtureRequest) -> Iterator[str]:
    """A web server that has nothing, and one that answers everything with a page that is no POM."""

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            page = b"sign in to the hotel's network" if request.param == 200 else b""
            self.send_response(request.param)
            self.send_header("Content-Length", str(len(page)))  # jgo leaves an unread answer open
            self.end_headers()
            self.wfile.write(page)

        def log_message(self, *_: object) -> None: ...

    with HTTPServer(("127.0.0.1", 0), Answer) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_an_unreachable_registry_is_one_line_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jgo.constants.MAVEN_CENTRAL_URL", f"http://127.0.0.1:{new_port()}")
    with pytest.raises(LocalStackError, match=r"could not be fetched.*HTTPS_PROXY") as failure:
        kafka_jars(tmp_path, silent)
    assert "\n" not in str(failure.value)
    assert list(tmp_path.iterdir()) == []


def test_a_registry_without_kafka_is_one_line_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, registry_without_kafka: str
) -> None:
    monkeypatch.setattr("jgo.constants.MAVEN_CENTRAL_URL", registry_without_kafka)
    with pytest.raises(LocalStackError, match="could not be fetched") as failure:
        kafka_jars(tmp_path, silent)
    assert "\n" not in str(failure.value)
    assert list(tmp_path.iterdir()) == []


def test_a_cached_release_is_used_without_a_word(tmp_path: Path) -> None:
    release = tmp_path / f"kafka-{KAFKA_VERSION}"
    release.mkdir()
    (release / "kafka.jar").touch()
    said: list[str] = []
    assert kafka_jars(tmp_path, said.append) == [release / "kafka.jar"]
    assert said == []


def test_a_cache_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(LocalStackError, match="could not be fetched"):
        kafka_jars(tmp_path / "file" / "cache", silent)


def test_a_file_that_is_not_the_pinned_one_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    forged = tmp_path / "kafka_2.13-4.4.0.jar"
    forged.write_bytes(b"not Kafka")
    monkeypatch.setattr("cartcast.local.maven.resolve", lambda _endpoints, _scratch: [forged])
    with pytest.raises(LocalStackError, match="is not the file that Cartcast expects"):
        kafka_jars(tmp_path / "cache", silent)
    assert list((tmp_path / "cache").iterdir()) == []

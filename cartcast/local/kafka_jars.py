"""Fetches Apache Kafka from Maven Central, once a machine, into the user's cache."""

import hashlib
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from xml.etree.ElementTree import ParseError

from service.errors import LocalStackError

KAFKA_VERSION = "4.4.0"
ENDPOINT = f"org.apache.kafka:kafka_2.13:{KAFKA_VERSION}"
# The logging bridge is part of Kafka's release, but not of its Maven dependencies: without it a broker that
# cannot start says nothing. Resolved apart, because log4j's parent would pin an older kafka-clients.
LOGGING_ENDPOINT = "org.apache.logging.log4j:log4j-slf4j-impl:2.25.5"
HASHES = Path(__file__).with_suffix(".sha256")


def default_cache() -> Path:
    """Return where fetched releases are kept."""
    return Path.home() / ".cache" / "cartcast"


def kafka_jars(cache: Path, report: Callable[[str], None]) -> list[Path]:
    """Return the broker's class path, fetching it if the cache does not hold it.

    The release appears in the cache by one rename when it is complete, so an interrupted download leaves nothing
    that a later start could take for whole, and two starts at once do not disturb each other.
    """
    release = cache / f"kafka-{KAFKA_VERSION}"
    if not release.is_dir():
        report(f"fetching Apache Kafka {KAFKA_VERSION} from Maven Central (44 MB, once)")
        begun = time.monotonic()
        _fetch(cache, release)
        report(f"fetched Apache Kafka into {release} in {time.monotonic() - begun:.0f} s")
    return sorted(release.glob("*.jar"))


def _fetch(cache: Path, release: Path) -> None:
    try:
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache, prefix="fetching-") as scratch:
            complete = Path(scratch) / "complete"
            complete.mkdir()
            for jar in _resolve(Path(scratch)):
                shutil.copy(jar, complete)
            _check(complete)
            if not release.is_dir():  # another start may have been quicker
                complete.rename(release)
    except OSError as failure:  # requests' failures are OSErrors as well
        raise LocalStackError(_advice(failure)) from None


def _resolve(scratch: Path) -> list[Path]:
    from jgo.constants import MAVEN_CENTRAL_URL  # noqa: PLC0415 - 0.3 s, once a machine
    from jgo.env import EnvironmentBuilder, LinkStrategy  # noqa: PLC0415 - 0.3 s, once a machine
    from jgo.maven import MavenContext  # noqa: PLC0415 - 0.3 s, once a machine

    context = MavenContext(repo_cache=scratch / "repository", remote_repos={"central": MAVEN_CENTRAL_URL})
    builder = EnvironmentBuilder(context=context, cache_dir=scratch / "jgo", link_strategy=LinkStrategy.AUTO)
    try:
        bridge = [jar for jar in builder.from_endpoint(endpoint=LOGGING_ENDPOINT).all_jars if "slf4j-impl" in jar.name]
        return [*builder.from_endpoint(endpoint=ENDPOINT).all_jars, *bridge]
    except (RuntimeError, ValueError, ParseError) as failure:  # not there, or an answer that is no POM
        raise LocalStackError(_advice(failure)) from None


def _check(directory: Path) -> None:
    """Compare every jar with its pinned hash, because jgo only warns of a wrong checksum."""
    pinned = dict(line.split()[::-1] for line in HASHES.read_text().splitlines())
    found = {jar.name: hashlib.sha256(jar.read_bytes()).hexdigest() for jar in directory.iterdir()}
    for name in sorted(pinned.keys() | found.keys()):
        if pinned.get(name) != found.get(name):
            raise LocalStackError(_advice(ValueError(f"{name} is not the file that Cartcast expects")))


def _advice(failure: Exception) -> str:
    reason = " ".join(str(failure).split())[:200]
    return (
        f"Apache Kafka {KAFKA_VERSION} could not be fetched from Maven Central: {reason}; "
        "check the network and the proxy settings (HTTPS_PROXY), then try again"
    )

"""Fetches releases of Java programs from Maven Central, once a machine, into the user's cache; each file is pinned."""

import hashlib
import shutil
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from xml.etree.ElementTree import ParseError

from service.errors import LocalStackError


def default_cache() -> Path:
    """Return where fetched releases are kept."""
    return Path.home() / ".cache" / "cartcast"


@dataclass(frozen=True)
class Release:
    """The jars of one program: what Maven is asked for, and what has to come."""

    title: str
    """As messages call it: `Apache Kafka 4.4.0`."""
    folder: str
    """Its place in the cache."""
    megabytes: int
    endpoints: Mapping[str, str]
    """Coordinates for jgo, each resolved apart; of its jars those are taken whose name has the given part in it."""
    hashes: Path
    """SHA-256 of every jar and its name, a line each."""

    def jars(self, cache: Path, report: Callable[[str], None]) -> list[Path]:
        """Return the class path, fetching it if the cache does not hold it. Raises LocalStackError.

        The release appears in the cache by one rename when it is complete, so an interrupted download leaves nothing
        that a later start could take for whole, and two starts at once do not disturb each other.
        """
        place = cache / self.folder
        if not place.is_dir():
            report(f"fetching {self.title} from Maven Central ({self.megabytes} MB, once)")
            begun = time.monotonic()
            self._fetch(cache, place)
            report(f"fetched {self.title} into {place} in {time.monotonic() - begun:.0f} s")
        return sorted(place.glob("*.jar"))

    def _fetch(self, cache: Path, place: Path) -> None:
        try:
            cache.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=cache, prefix="fetching-") as scratch:
                complete = Path(scratch) / "complete"
                complete.mkdir()
                for jar in resolve(self.endpoints, Path(scratch)):
                    shutil.copy(jar, complete)
                self._check(complete)
                if not place.is_dir():  # another start may have been quicker
                    complete.rename(place)
        except (OSError, RuntimeError, ValueError, ParseError) as failure:  # requests' failures are OSErrors as well;
            # not there, or an answer that is no POM, are the others
            raise LocalStackError(self._advice(failure)) from None

    def _check(self, directory: Path) -> None:
        """Compare every jar with its pinned hash, because jgo only warns of a wrong checksum."""
        pinned = dict(line.split()[::-1] for line in self.hashes.read_text().splitlines())
        found = {jar.name: hashlib.sha256(jar.read_bytes()).hexdigest() for jar in directory.iterdir()}
        for name in sorted(pinned.keys() | found.keys()):
            if pinned.get(name) != found.get(name):
                raise ValueError(f"{name} is not the file that Cartcast expects")

    def _advice(self, failure: Exception) -> str:
        reason = " ".join(str(failure).split())[:200]
        return (
            f"{self.title} could not be fetched from Maven Central: {reason}; "
            "check the network and the proxy settings (HTTPS_PROXY), then try again"
        )


def resolve(endpoints: Mapping[str, str], scratch: Path) -> list[Path]:
    """Return the jars of each endpoint whose name has the endpoint's part in it, with their dependencies."""
    from jgo.constants import MAVEN_CENTRAL_URL  # noqa: PLC0415 - 0.3 s, once a machine
    from jgo.env import EnvironmentBuilder, LinkStrategy  # noqa: PLC0415 - 0.3 s, once a machine
    from jgo.maven import MavenContext  # noqa: PLC0415 - 0.3 s, once a machine

    context = MavenContext(repo_cache=scratch / "repository", remote_repos={"central": MAVEN_CENTRAL_URL})
    builder = EnvironmentBuilder(context=context, cache_dir=scratch / "jgo", link_strategy=LinkStrategy.AUTO)
    return [
        jar
        for endpoint, part in endpoints.items()
        for jar in builder.from_endpoint(endpoint=endpoint).all_jars
        if part in jar.name
    ]

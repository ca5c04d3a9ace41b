"""What ClickHouse knows of its disks and of how good the scores are, asked from time to time for the metrics."""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import groupby
from threading import Event
from typing import Any, Final

import structlog
from clickhouse_connect.driver.client import Client

from service.clickhouse import connect, failures
from service.clickhouse_settings import ClickHouseSettings
from service.errors import CartcastError
from sinks.observe.quality import BINS, LogitBin, calibration_error, population_stability

MIN_DRIFT_SCORES: Final = 1_000
"""Of fewer, the population stability index is mostly chance: about 19 / scores of one and the same process."""

MAX_SCORES: Final = 250_000
"""About how many scores calibration is measured over: of so many shoppers, by the hashes of their ids."""

_LOW_PRIORITY: Final = {"max_threads": 1, "priority": 10}
_DISKS: Final = "SELECT name, free_space, total_space FROM system.disks WHERE total_space > 0 ORDER BY name"
_DRIFT: Final = """
SELECT model, horizon, bin, sumIf(scores, hour >= now() - INTERVAL 24 HOUR) AS recent,
    sumIf(scores, hour >= since AND hour < until) AS reference
FROM score_distribution
INNER JOIN
(
    SELECT model, horizon, any(reference_from) AS since, any(reference_to) AS until, max(hour) AS latest
    FROM score_drift
    GROUP BY model, horizon
    HAVING latest >= now() - INTERVAL 25 HOUR
) AS periods USING (model, horizon)
GROUP BY model, horizon, bin
ORDER BY model, horizon, bin
"""
"""The last 24 hours of event time; the reference's hours are the view's."""
_CALIBRATION: Final = f"""
WITH
    (SELECT sum(events) FROM events_by_hour WHERE hour >= now() - INTERVAL 48 HOUR) AS recent,
    {MAX_SCORES} / greatest(recent, 1) AS share,
    if(share < 1, toUInt64(share * 18446744073709551615), 18446744073709551615) AS last_hash,
    least(greatest(propensity, 1e-7), 1 - 1e-7) AS clipped
SELECT model, horizon, toInt16(floor(8 * log(clipped / (1 - clipped)))) AS bin,
    count() AS n, countIf(purchased) AS y, sum(propensity) AS s
FROM outcomes_since(since_ms = toUnixTimestamp64Milli(now64(3)) - 48 * 3600000)
WHERE toUInt8(bitShiftRight(cityHash64(user_id), 56)) <= toUInt8(bitShiftRight(last_hash, 56))
    AND cityHash64(user_id) <= last_hash
GROUP BY model, horizon, bin
ORDER BY model, horizon, bin
"""  # noqa: S608 - our own number

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Disk:
    """A disk of the ClickHouse server."""

    name: str
    free_bytes: int
    total_bytes: int


@dataclass(frozen=True, slots=True)
class Drift:
    """How far a model's recent scores of a horizon are from its reference."""

    model: str
    horizon: str
    psi: float


@dataclass(frozen=True, slots=True)
class CalibrationSample:
    """How far a model's recent propensities of a horizon were from what came true, over so many scores."""

    model: str
    horizon: str
    error: float
    scores: int


class Sampler:
    """Keeps the latest answers; what fails, or has no data, is empty. No failure of it stops anything else."""

    def __init__(self, settings: ClickHouseSettings, *, seconds: float) -> None:
        self.disks: list[Disk] = []
        self.drift: list[Drift] = []
        self.calibration: list[CalibrationSample] = []
        self._settings = settings
        self._seconds = seconds
        self._client: Client | None = None
        self._failing: dict[str, str] = {}

    def run(self, stop: Event) -> None:
        """Ask every so many seconds, the first time at once."""
        pause = 0.0
        while not stop.wait(pause):
            self.sample()
            pause = self._seconds
        if self._client is not None:
            self._client.close_connections()

    def sample(self) -> None:
        """Ask once."""
        self.disks = self._asked("disks", lambda: [Disk(*row) for row in self._rows(_DISKS)])
        self.drift = self._asked("drift", lambda: drift_of(self._rows(_DRIFT)))
        self.calibration = self._asked("calibration", lambda: calibration_of(self._rows(_CALIBRATION)))

    def _asked(self, what: str, ask: Callable[[], list[Any]]) -> list[Any]:
        """Return what `ask` does, nothing if it fails; a failure is logged once, until it is over."""
        try:
            found = ask()
        except CartcastError as failure:
            if self._failing.get(what) != str(failure):
                log.warning("not sampled for now", what=what, reason=str(failure))
            self._failing[what] = str(failure)
            return []
        if self._failing.pop(what, None) is not None:
            log.info("sampled again", what=what)
        return found

    def _rows(self, query: str) -> list[tuple[Any, ...]]:
        if self._client is None:
            self._client = connect(self._settings)
            self._client.database = self._settings.database
        with failures(self._settings):
            return [tuple(row) for row in self._client.query(query, settings=_LOW_PRIORITY).result_rows]


def drift_of(rows: list[tuple[Any, ...]]) -> list[Drift]:
    """Make of rows (model, horizon, bin, recent scores, reference scores), sorted, what is known well enough."""
    found = []
    for (model, horizon), group in groupby(rows, key=lambda row: row[:2]):
        recent, reference = [0] * BINS, [0] * BINS
        for _, _, number, now, then in group:
            recent[number], reference[number] = now, then
        if sum(recent) >= MIN_DRIFT_SCORES and sum(reference) > 0:
            found.append(Drift(str(model), str(horizon), population_stability(recent, reference)))
    return found


def calibration_of(rows: list[tuple[Any, ...]]) -> list[CalibrationSample]:
    """Make of rows (model, horizon, bin, scores, purchases, sum of propensities), sorted by bin, the error of each."""
    found = []
    for (model, horizon), group in groupby(rows, key=lambda row: row[:2]):
        bins = [LogitBin(*row[3:]) for row in group]
        if scores := sum(each.scores for each in bins):
            found.append(CalibrationSample(str(model), str(horizon), calibration_error(bins), scores))
    return found

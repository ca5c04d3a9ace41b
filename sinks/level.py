"""What came of a model's scores, summed up for the level correction (`model.level`)."""

from typing import Any, Final

import numpy as np
from clickhouse_connect.driver.client import Client

from model.horizons import DAY_MS, HORIZONS, HOUR_MS
from model.level import CANDIDATE_SHIFTS, Outcomes
from service.clickhouse import connected
from service.clickhouse_settings import ClickHouseSettings
from service.errors import UnavailableError

SETTLED_MS: Final = {"session": 3 * HOUR_MS, "1h": HOUR_MS, "24h": DAY_MS}
"""How old a score is when it is known what came of it; a session may be longer, few are."""
_WINDOW_MS: Final = DAY_MS
"""Scores of one whole day, so that no hour of the day counts more than another."""
_MOST_SCORES: Final = 2_000_000
"""More come from fewer shoppers, those with the lowest hashes, whose rows are the table's beginning."""

_LARGEST_HASH: Final = 2**64 - 1

_COUNT: Final = "SELECT count() FROM scores WHERE event_time >= {since:Int64} AND event_time < {until:Int64}"
_OUTCOMES: Final = """
SELECT
    sum(scores),
    sum(bought),
    sumForEach(expected),
    sqrt(sum(pow(bought - expected[intDiv(length(expected) + 1, 2)], 2)))
FROM
(
    WITH (1 - propensity) / propensity * exp(shift) AS odds_against
    SELECT
        count() AS scores,
        countIf(purchased) AS bought,
        sumForEach(arrayMap(to -> 1 / (1 + odds_against * exp(-to)), {candidates:Array(Float64)})) AS expected
    FROM outcomes_since(since_ms = {since:Int64})
    WHERE model = {model:String} AND horizon = {horizon:String} AND event_time < {until:Int64}
        AND toUInt8(bitShiftRight(cityHash64(user_id), 56)) <= toUInt8(bitShiftRight({last_hash:UInt64}, 56))
        AND cityHash64(user_id) <= {last_hash:UInt64}
    GROUP BY user_id
)
"""


def outcomes(settings: ClickHouseSettings, model: str, until_ms: int) -> dict[str, Outcomes]:
    """Return what came of a model's scores by standard horizon: of the last day that was settled at a time.

    Raises CartcastError.
    """
    try:
        with connected(settings, database=settings.database) as client:
            return {horizon: _outcomes(client, model, horizon, until_ms) for horizon in HORIZONS}
    except UnavailableError as failure:
        raise UnavailableError(f"what came of the scores cannot be read: {failure}") from None


def _outcomes(client: Client, model: str, horizon: str, until_ms: int) -> Outcomes:
    last_ms = until_ms - SETTLED_MS[horizon]
    parameters: dict[str, Any] = {"since": last_ms - _WINDOW_MS, "until": last_ms}
    scores = int(str(client.command(_COUNT, parameters=parameters)))
    parameters |= {"model": model, "horizon": horizon, "candidates": CANDIDATE_SHIFTS.tolist()}
    parameters |= {"last_hash": _LARGEST_HASH * _MOST_SCORES // max(scores, _MOST_SCORES)}
    ((count, purchases, expected, error),) = client.query(_OUTCOMES, parameters=parameters).result_rows
    sums = np.array(expected) if expected else np.zeros(len(CANDIDATE_SHIFTS))
    return Outcomes(count, purchases, sums, error)

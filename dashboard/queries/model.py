"""Whether the probabilities can be trusted, and what changed."""

from typing import Final

from dashboard.clickhouse import Row
from dashboard.queries.range import Asks, Range, within


def models(asks: Asks) -> list[Row]:
    """Model versions, the latest first, with their events and hours; view propensity_by_hour."""
    return asks.rows(
        "SELECT model, sum(v.events) AS events, min(hour) AS first_hour, max(hour) AS last_hour "
        "FROM propensity_by_hour AS v GROUP BY model ORDER BY last_hour DESC, events DESC LIMIT 50"
    )


def taken_over(asks: Asks) -> list[Row]:
    """Model versions and when each scored its first event; view models."""
    return asks.rows("SELECT model, first_scored_at FROM models ORDER BY first_scored_at DESC LIMIT 50")


def evaluation(asks: Asks, horizon: str) -> list[Row]:
    """Online evaluation of each model version over everything stored; view online_evaluation_by_model."""
    return asks.rows(
        f"SELECT model, {_METRICS} FROM online_evaluation_by_model "  # noqa: S608
        "WHERE horizon = {horizon:String} ORDER BY scores DESC LIMIT 50",
        {"horizon": horizon},
    )


def evaluation_by_hour(asks: Asks, model: str, horizon: str, span: Range) -> list[Row]:
    """Online evaluation of one model version an hour of the range; view online_evaluation."""
    return asks.rows(
        f"SELECT hour, {_METRICS} FROM online_evaluation "  # noqa: S608
        f"WHERE model = {{model:String}} AND horizon = {{horizon:String}} AND {within('hour')} "
        "ORDER BY hour DESC LIMIT 1000",
        {**span.bound(), "model": model, "horizon": horizon},
    )[::-1]


def evaluated_until(asks: Asks, model: str, horizon: str) -> Row | None:
    """Return the `first` and `last` hour whose scores' horizon has passed, and how many; view outcome_bins."""
    row = asks.rows(
        "SELECT min(hour) AS first, max(hour) AS last, sum(v.scores) AS scores FROM outcome_bins AS v "
        "WHERE model = {model:String} AND horizon = {horizon:String}",
        {"model": model, "horizon": horizon},
    )[0]
    return row if row["scores"] else None


def calibration(asks: Asks, model: str, horizon: str, span: Range) -> list[Row]:
    """Return what propensities said and what came true, in bins of half a logit; view outcome_bins."""
    return asks.rows(
        f"""
        SELECT intDiv(bin + 800, 4) AS half, sum(v.scores) AS scores, sum(v.purchases) AS purchases,
               sum(sum_propensity) / scores AS mean_propensity, purchases / scores AS purchase_rate
        FROM outcome_bins AS v
        WHERE model = {{model:String}} AND horizon = {{horizon:String}} AND {within("hour")}
        GROUP BY half ORDER BY half LIMIT 100
        """,  # noqa: S608
        {**span.bound(), "model": model, "horizon": horizon},
    )


def shown_by_position(asks: Asks) -> list[Row]:
    """Return what came of the items at each place of the lists that each model made, over everything stored.

    Columns as in `shown_by_list`; view impression_outcomes.
    """
    return _shown(asks, "shown_by, position", f"WHERE position <= {MOST_POSITIONS}", "ORDER BY shown_by, position")


def shown_by_list(asks: Asks) -> list[Row]:
    """Return what came of the items that each model's lists showed in each place of the shop, over everything stored.

    `ctr` is `clicks` over `shown`, `cart_rate` and `purchase_rate` are over `shown_a_day`; each has a margin, half
    of its 95 % interval. Shoppers are drawn, not items: the margin is the ratio estimator's (Cochran, Sampling
    Techniques, 1977, section 6.3), and by the rule of three where nothing came of what was shown. View
    impression_outcomes.
    """
    return _shown(asks, "shown_by, placement", "", "ORDER BY shown DESC, shown_by, placement")


MOST_POSITIONS: Final = 40
_RATES: Final = {
    "ctr": ("clicks", "shown"),
    "cart_rate": ("carts", "shown_a_day"),
    "purchase_rate": ("purchases", "shown_a_day"),
}


def _shown(asks: Asks, by: str, where: str, order: str) -> list[Row]:
    sums = ("shown", "clicks", "shown_a_day", "carts", "purchases")
    of_shopper = ", ".join(f"sum(o.{name}) AS of_{name}" for name in sums)
    totals = ", ".join(f"sum(of_{name}) AS {name}" for name in sums)
    rates = ", ".join(_rate(name, part, whole) for name, (part, whole) in _RATES.items())
    return asks.rows(
        f"SELECT {by}, {totals}, {rates} FROM (SELECT {by}, shopper_hash, {of_shopper} FROM impression_outcomes AS o "  # noqa: S608
        f"{where} GROUP BY {by}, shopper_hash) GROUP BY {by} HAVING shown > 0 {order} LIMIT 1000"
    )


def _rate(name: str, part: str, whole: str) -> str:
    """Return a share of two sums over shoppers and its margin; NULL if nothing is known."""
    squares = (
        f"sum(of_{part} * of_{part}) - 2 * {name} * sum(of_{part} * of_{whole}) "
        f"+ {name} * {name} * sum(of_{whole} * of_{whole})"
    )
    return (
        f"{part} / nullIf({whole}, 0) AS {name}, "
        f"if({part} = 0, 3, 1.96 * sqrt(greatest({squares}, 0))) / nullIf({whole}, 0) AS {name}_margin"
    )


def operating_points(asks: Asks, model: str, horizon: str) -> list[Row]:
    """About 200 thresholds with what is found above them, over everything stored; view operating_points."""
    return asks.rows(
        """
        SELECT threshold, recall, precision, false_positive_rate, share FROM operating_points
        WHERE model = {model:String} AND horizon = {horizon:String} ORDER BY threshold LIMIT 500
        """,
        {"model": model, "horizon": horizon},
    )


def drift(asks: Asks, model: str, horizon: str, span: Range) -> list[Row]:
    """PSI and KS against the reference period an hour of the range; view score_drift."""
    return asks.rows(
        f"""
        SELECT hour, scores, psi, ks, reference_from, reference_to FROM score_drift
        WHERE model = {{model:String}} AND horizon = {{horizon:String}} AND {within("hour")}
        ORDER BY hour DESC LIMIT 1000
        """,  # noqa: S608
        {**span.bound(), "model": model, "horizon": horizon},
    )[::-1]


def distribution(asks: Asks, horizon: str, span: Range) -> list[Row]:
    """Scores in twenty bins of each model version; view score_distribution."""
    return asks.rows(
        f"""
        SELECT model, bin, any(lower) AS lower, any(upper) AS upper, sum(v.scores) AS scores
        FROM score_distribution AS v WHERE horizon = {{horizon:String}} AND {within("hour")}
        GROUP BY model, bin ORDER BY model, bin LIMIT 400
        """,  # noqa: S608
        {**span.bound(), "horizon": horizon},
    )


_METRICS = (
    "scores, purchases, base_rate, mean_propensity, roc_auc, pr_auc, log_loss, brier, ece, lift_1, lift_5, lift_10"
)

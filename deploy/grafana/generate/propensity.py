"""Who is about to buy, and can the probabilities be trusted? All from the views."""

from panels import SERIES, Json, columns, curve, dashboard, gauges, lines, over_time, sql, stat, steps, table

HOURS = "$__timeFilter(hour)"
MODELS = "model IN (${model:sqlstring})"
HORIZON = "horizon = ${horizon:sqlstring}"
CHANNELS = "if(channel = '', '(none)', channel) IN (${channel:sqlstring})"
BIGGEST_MODEL = (
    "model = (SELECT argMax(model, scored) FROM "
    f"(SELECT model, sum(events) AS scored FROM propensity_by_hour WHERE {MODELS} GROUP BY model))"
)
"""Curves are of one model: of those chosen, the one that has scored the most events."""
MEAN = (
    "multiIf(${horizon:sqlstring} = 'session', sum(sum_propensity_session) / nullIf(sum(scores_session), 0), "
    "${horizon:sqlstring} = '1h', sum(sum_propensity_1h) / nullIf(sum(scores_1h), 0), "
    "sum(sum_propensity_24h) / nullIf(sum(scores_24h), 0))"
)
"""Mean propensity of the chosen horizon over rows of a view."""
MEAN_OF_SCORES = (
    "multiIf(${horizon:sqlstring} = 'session', avgOrNullIf(propensity_session, isFinite(propensity_session)), "
    "${horizon:sqlstring} = '1h', avgOrNullIf(propensity_1h, isFinite(propensity_1h)), "
    "avgOrNullIf(propensity_24h, isFinite(propensity_24h)))"
)
"""The same over scores."""
SHARE: Json = {"max": 1}


def propensity() -> Json:
    """Return the dashboard `cartcast-propensity`."""
    return dashboard(
        "cartcast-propensity",
        "Cartcast: propensity",
        "Who is about to buy, and whether the probabilities can be trusted. Times are when events happened.",
        [
            ("", 4, _numbers()),
            ("What shoppers do", 8, [_propensity_over_time(), _events_over_time()]),
            ("", 8, [_funnel(), _by_event_type(), _by_channel()]),
            ("Who is about to buy", 10, [_top_shoppers()]),
            ("", 8, [_segments(), _by_category()]),
            ("Can the probabilities be trusted?", 8, [_said_and_done(), _discrimination()]),
            ("", 9, [_calibration(), _gain(), _roc()]),
            ("", 8, [_models()]),
            ("Drift", 8, [_distribution(), *_drift()]),
        ],
        time={"from": "now-7d", "to": "now"},
        refresh="1m",
        templating={"list": [_model_choice(), _horizon_choice(), _channel_choice()]},
        links=[
            {"type": "dashboards", "title": "Cartcast", "tags": ["cartcast"], "keepTime": False},
            {
                "type": "link",
                "title": "The demo's days",
                "tooltip": "In cartcast demo a day takes a minute, so that its shop is soon in the future",
                "url": "/d/cartcast-propensity?from=now-2d&to=now%2B30d&refresh=5s",
            },
        ],
    )


def _choice(name: str, label: str, text: str) -> Json:
    return {
        "type": "query",
        "name": name,
        "label": label,
        "datasource": {"type": "grafana-clickhouse-datasource", "uid": "cartcast-clickhouse"},
        "query": text,
        "definition": text,
        "refresh": 2,
        "multi": True,
        "includeAll": True,
        "current": {"text": ["All"], "value": ["$__all"]},
    }


def _model_choice() -> Json:
    return _choice("model", "Model", f"SELECT DISTINCT model FROM propensity_by_hour WHERE {HOURS} ORDER BY model")


def _channel_choice() -> Json:
    return _choice(
        "channel",
        "Channel",
        f"SELECT DISTINCT if(channel = '', '(none)', channel) FROM events_by_hour WHERE {HOURS} ORDER BY 1",
    )


def _horizon_choice() -> Json:
    names = ("session", "1h", "24h")
    return {
        "type": "custom",
        "name": "horizon",
        "label": "Horizon",
        "query": ",".join(names),
        "options": [{"text": name, "value": name, "selected": name == "24h"} for name in names],
        "current": {"text": "24h", "value": "24h"},
    }


def _numbers() -> list[Json]:
    return [
        stat(
            "Events",
            sql(f"SELECT sum(events) AS events FROM events_by_hour WHERE {HOURS} AND {CHANNELS}"),
            "Accepted events of the range.",
        ),
        stat(
            "Purchases",
            sql(f"SELECT sum(purchases) AS purchases FROM funnel_by_hour WHERE {HOURS} AND {CHANNELS}"),
            "Purchase events of the range.",
        ),
        stat(
            "Mean propensity",
            sql(f"""
                SELECT {MEAN} AS mean_propensity
                FROM propensity_by_hour
                WHERE {HOURS} AND {MODELS} AND {CHANNELS}
            """),
            "Mean probability of a purchase within the chosen horizon, over the range's events.",
            unit="percentunit",
            decimals=1,
        ),
        stat(
            "Likely buyers",
            sql("SELECT sum(shoppers) AS shoppers FROM segments WHERE segment = 'high'"),
            "Shoppers in the segment high by their latest score, whenever it was.",
        ),
        stat(
            "Value at stake",
            sql("SELECT sum(value_at_stake) AS value_at_stake FROM segments"),
            "Sum of propensity x price over all shoppers' latest events, in the prices' own currency.",
        ),
        stat(
            "ROC AUC",
            sql(f"""
                SELECT sum(roc_auc * scores) / sum(scores) AS area
                FROM online_evaluation_by_model
                WHERE {MODELS} AND {HORIZON}
            """),
            "How well scores rank later buyers above others: 0.5 is chance, 1 is perfect. Of every kept score whose "
            "horizon has passed.",
            unit="none",
            decimals=3,
            thresholds=steps("red", (0.6, "orange"), (0.7, "green")),
        ),
    ]


def _propensity_over_time() -> Json:
    return lines(
        "Mean propensity, by horizon",
        over_time(f"""
            SELECT
                $__timeInterval(hour) AS time,
                sum(sum_propensity_session) / nullIf(sum(scores_session), 0) AS "session",
                sum(sum_propensity_1h) / nullIf(sum(scores_1h), 0) AS "1h",
                sum(sum_propensity_24h) / nullIf(sum(scores_24h), 0) AS "24h"
            FROM propensity_by_hour
            WHERE {HOURS} AND {MODELS} AND {CHANNELS}
            GROUP BY time
            ORDER BY time
        """),
        "Mean probability of a purchase after an event: in its session, within an hour, within a day.",
        unit="percentunit",
        interval="1h",
    )


def _events_over_time() -> Json:
    return lines(
        "Events, by type",
        over_time(f"""
            SELECT $__timeInterval(hour) AS time, event_type AS series, sum(events) AS events
            FROM events_by_hour
            WHERE {HOURS} AND {CHANNELS}
            GROUP BY time, series
            ORDER BY time
        """),
        "Accepted events per step.",
        bars=True,
        stacked=True,
        interval="1h",
        displayName=SERIES,
    )


def _funnel() -> Json:
    return gauges(
        "Funnel, events",
        sql(f"""
            SELECT
                sum(views) AS "view",
                sum(carts) AS "cart",
                sum(checkout_events) AS "checkout",
                sum(purchases) AS "purchase"
            FROM funnel_by_hour
            WHERE {HOURS} AND {CHANNELS}
        """),
        "Events of each step in the range, not shoppers: those cannot be added up over hours.",
    )


def _by_event_type() -> Json:
    return columns(
        "Mean propensity after an event of a type",
        sql(f"""
            SELECT event_type, {MEAN} AS propensity
            FROM propensity_by_hour
            WHERE {HOURS} AND {MODELS} AND {CHANNELS}
            GROUP BY event_type
            ORDER BY propensity DESC
        """),
        "Of the chosen horizon.",
        x="event_type",
        unit="percentunit",
    )


def _by_channel() -> Json:
    return columns(
        "Mean propensity, by channel",
        sql(f"""
            SELECT if(channel = '', '(none)', channel) AS from_channel, {MEAN} AS propensity
            FROM propensity_by_hour
            WHERE {HOURS} AND {MODELS} AND {CHANNELS}
            GROUP BY from_channel
            ORDER BY propensity DESC
            LIMIT 20
        """),
        "Of the chosen horizon, by where the shopper came from.",
        x="from_channel",
        unit="percentunit",
    )


def _top_shoppers() -> Json:
    return table(
        "Likeliest buyers now",
        sql("""
            SELECT
                user_id, propensity_session, propensity_1h, propensity_24h, value_at_stake, segment, event_at,
                arrayStringConcat(arrayMap(each -> each.2, last_events), ', ') AS latest_events,
                category, channel, price, events
            FROM top_shoppers
            ORDER BY propensity_24h DESC, event_at DESC
            LIMIT 100
        """),
        "By the latest score of each shopper, whenever it was; latest events with the newest first.",
        units={"value_at_stake": "short", "price": "short", "events": "short"}
        | dict.fromkeys(("propensity_session", "propensity_1h", "propensity_24h"), "percentunit"),
        bars=("propensity_session", "propensity_1h", "propensity_24h"),
    )


def _segments() -> Json:
    return table(
        "Segments",
        sql("""
            SELECT segment, shoppers, mean_propensity_24h, value_at_stake
            FROM segments
            ORDER BY mean_propensity_24h DESC
        """),
        "Shoppers by their latest propensity within 24 hours; the bounds are settings.",
        units={"shoppers": "short", "mean_propensity_24h": "percentunit", "value_at_stake": "short"},
        bars=("mean_propensity_24h",),
    )


def _by_category() -> Json:
    return table(
        "Categories with the most events",
        sql(f"""
            SELECT category, count() AS scored, {MEAN_OF_SCORES} AS propensity
            FROM scores_by_category
            WHERE {HOURS} AND {MODELS} AND category != ''
            GROUP BY category
            ORDER BY scored DESC
            LIMIT 20
        """),
        "Propensity of the chosen horizon.",
        units={"scored": "short", "propensity": "percentunit"},
        bars=("propensity",),
    )


def _said_and_done() -> Json:
    return lines(
        "What was said and what came true",
        over_time(f"""
            SELECT
                $__timeInterval(hour) AS time,
                sum(mean_propensity * scores) / sum(scores) AS said,
                sum(purchases) / sum(scores) AS came_true
            FROM online_evaluation
            WHERE {HOURS} AND {MODELS} AND {HORIZON}
            GROUP BY time
            ORDER BY time
        """),
        "Mean propensity, and the share that a purchase followed, by the hour of the event, when the horizon is over.",
        unit="percentunit",
        interval="1h",
    )


def _discrimination() -> Json:
    return lines(
        "ROC AUC by hour and model",
        over_time(f"""
            SELECT hour AS time, model AS series, roc_auc
            FROM online_evaluation
            WHERE {HOURS} AND {MODELS} AND {HORIZON} AND roc_auc IS NOT NULL
            ORDER BY time
        """),
        "By the hour of the event; hours without a purchase, or with nothing else, have none.",
        unit="none",
        displayName=SERIES,
        **SHARE,
    )


def _calibration() -> Json:
    return curve(
        "Calibration",
        sql(f"""
            SELECT mean_propensity AS said, purchase_rate AS came_true, mean_propensity AS ideal
            FROM calibration_bins
            WHERE {BIGGEST_MODEL} AND {HORIZON}
            ORDER BY said
        """),
        "Twenty bins of about equal counts, of every kept score whose horizon has passed. On the ideal line, what is "
        "said comes true.",
        x="said",
    )


def _gain() -> Json:
    return curve(
        "Gain: purchases found among the likeliest",
        sql(f"""
            SELECT share, recall AS found, share AS chance
            FROM operating_points
            WHERE {BIGGEST_MODEL} AND {HORIZON}
            ORDER BY share
        """),
        "If the likeliest share of scores is addressed, so large a share of the purchases is reached.",
        x="share",
        **SHARE,
    )


def _roc() -> Json:
    return curve(
        "ROC curve",
        sql(f"""
            SELECT false_positive_rate, recall, false_positive_rate AS chance
            FROM operating_points
            WHERE {BIGGEST_MODEL} AND {HORIZON}
            ORDER BY false_positive_rate, recall
        """),
        "Buyers found against others taken for buyers, at every threshold.",
        x="false_positive_rate",
        **SHARE,
    )


def _models() -> Json:
    return table(
        "Models",
        sql(f"""
            SELECT
                model, horizon, scores, base_rate, mean_propensity, roc_auc, pr_auc, log_loss, brier, ece,
                lift_1, lift_5, lift_10
            FROM online_evaluation_by_model
            WHERE {MODELS}
            ORDER BY model, horizon
        """),
        "Over every kept score whose horizon has passed. Lift: purchase rate of the likeliest 1, 5 and 10 % over the "
        "base rate.",
        units={"scores": "short", "base_rate": "percentunit", "mean_propensity": "percentunit"},
    )


def _distribution() -> Json:
    return columns(
        "Scores, by propensity",
        sql(f"""
            SELECT toString(round(lower, 2)) AS at_least, sum(scores) AS count
            FROM score_distribution
            WHERE {HOURS} AND {MODELS} AND {HORIZON}
            GROUP BY lower
            ORDER BY lower
        """),
        "Scores of the range in bins of 0.05.",
        x="at_least",
    )


def _drift() -> list[Json]:
    return [
        lines(
            title,
            over_time(f"""
                SELECT hour AS time, model AS series, {column}
                FROM score_drift
                WHERE {HOURS} AND {MODELS} AND {HORIZON} AND {column} IS NOT NULL
                ORDER BY time
            """),
            text,
            unit="none",
            displayName=SERIES,
        )
        for title, column, text in (
            (
                "Drift: PSI",
                "psi",
                "Population stability index of an hour against the reference: below 0.1 stable, above 0.25 changed.",
            ),
            (
                "Drift: Kolmogorov-Smirnov",
                "ks",
                "Largest difference of the cumulative shares of an hour's scores and the reference period's.",
            ),
        )
    ]

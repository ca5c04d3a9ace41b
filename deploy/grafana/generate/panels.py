"""Grafana's panels as the two dashboards use them: one look, one way to ask ClickHouse and Prometheus.

What a panel's JSON means: Grafana's dashboard schema 39 (Grafana 11 and later) and the queries of the plugin
grafana-clickhouse-datasource 4.
"""

from collections.abc import Iterable, Mapping, Sequence
from textwrap import dedent
from typing import Any

Json = dict[str, Any]

CLICKHOUSE: Json = {"type": "grafana-clickhouse-datasource", "uid": "cartcast-clickhouse"}
PROMETHEUS: Json = {"type": "prometheus", "uid": "cartcast-prometheus"}
CLICKHOUSE_PLUGIN = "4.0.0"
TIME_SERIES, TABLE = ("timeseries", 0), ("table", 1)
COLUMNS = 24

SERIES = "${__field.labels.series}"
"""Names a line after the column `series`, which the plugin turns into a label."""


def sql(text: str, shape: tuple[str, int] = TABLE, ref: str = "A") -> Json:
    """Return a query of ClickHouse; as time series its first column is `time`, and a column `series` splits lines."""
    kind, code = shape
    return {
        "refId": ref,
        "datasource": CLICKHOUSE,
        "editorType": "sql",
        "queryType": kind,
        "format": code,
        "rawSql": dedent(text).strip(),
        "pluginVersion": CLICKHOUSE_PLUGIN,
    }


def over_time(text: str, ref: str = "A") -> Json:
    """Return a query of ClickHouse whose answer is lines over time."""
    return sql(text, TIME_SERIES, ref)


def promql(*queries: tuple[str, str]) -> list[Json]:
    """Return queries of Prometheus, each with its legend."""
    return [
        {
            "refId": chr(ord("A") + number),
            "datasource": PROMETHEUS,
            "editorMode": "code",
            "expr": expression,
            "legendFormat": legend,
            "range": True,
        }
        for number, (expression, legend) in enumerate(queries)
    ]


def _panel(  # noqa: PLR0913, PLR0917 - every panel has all of these
    kind: str, title: str, targets: Json | Sequence[Json], text: str, options: Json, field: Json
) -> Json:
    queries = [targets] if isinstance(targets, dict) else list(targets)
    return {
        "type": kind,
        "title": title,
        "description": text,
        "datasource": queries[0]["datasource"],
        "targets": queries,
        "options": options,
        "fieldConfig": {"defaults": field, "overrides": []},
    }


def stat(title: str, target: Json | Sequence[Json], text: str, *, unit: str = "short", **field: Any) -> Json:
    """One number; of lines over time the latest, with the line behind it."""
    options = {
        "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
        "colorMode": "value",
        "graphMode": "area",
        "justifyMode": "auto",
        "textMode": "auto",
        "wideLayout": True,
    }
    look = {"unit": unit, "color": {"mode": "thresholds"}, "thresholds": steps("blue"), "noValue": "-"}
    return _panel("stat", title, target, text, options, look | field)


def lines(  # noqa: PLR0913 - what differs between them
    title: str,
    target: Json | Sequence[Json],
    text: str,
    *,
    unit: str = "short",
    bars: bool = False,
    stacked: bool = False,
    interval: str | None = None,
    **field: Any,
) -> Json:
    """Lines, or bars, over time; `interval` is the shortest step that the data have."""
    custom = {
        "drawStyle": "bars" if bars else "line",
        "fillOpacity": 60 if bars else 12,
        "lineWidth": 1 if bars else 2,
        "lineInterpolation": "linear",
        "showPoints": "never" if bars else "auto",
        "pointSize": 4,
        "spanNulls": True,
        "stacking": {"group": "A", "mode": "normal" if stacked else "none"},
    }
    options = {
        "legend": {"displayMode": "table", "placement": "bottom", "calcs": ["lastNotNull", "max"], "showLegend": True},
        "tooltip": {"mode": "multi", "sort": "desc"},
    }
    look = {"unit": unit, "min": 0, "color": {"mode": "palette-classic-by-name"}, "custom": custom}
    panel = _panel("timeseries", title, target, text, options, look | field)
    return panel | ({"interval": interval} if interval else {})


def curve(title: str, target: Json, text: str, *, x: str, **field: Any) -> Json:
    """Lines over the column `x`, which rises."""
    options = {
        "xField": x,
        "legend": {"displayMode": "list", "placement": "bottom", "showLegend": True},
        "tooltip": {"mode": "multi", "sort": "none"},
    }
    custom = {"drawStyle": "line", "lineWidth": 2, "fillOpacity": 0, "showPoints": "auto", "pointSize": 5}
    look = {"unit": "percentunit", "min": 0, "color": {"mode": "palette-classic-by-name"}, "custom": custom}
    return _panel("trend", title, target, text, options, look | field)


def columns(title: str, target: Json, text: str, *, x: str, unit: str = "short", **field: Any) -> Json:
    """One column a row of the answer, named by its column `x`."""
    options = {
        "xField": x,
        "orientation": "auto",
        "showValue": "never",
        "barWidth": 0.9,
        "groupWidth": 0.8,
        "stacking": "none",
        "xTickLabelRotation": 0,
        "legend": {"displayMode": "list", "placement": "bottom", "showLegend": True},
        "tooltip": {"mode": "multi", "sort": "none"},
    }
    look = {"unit": unit, "min": 0, "color": {"mode": "palette-classic-by-name"}, "custom": {"fillOpacity": 75}}
    return _panel("barchart", title, target, text, options, look | field)


def gauges(title: str, target: Json, text: str, *, unit: str = "short", rows: bool = False, **field: Any) -> Json:
    """Horizontal bars: one a column of the only row, or, with `rows`, one a row."""
    options = {
        "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": rows},
        "orientation": "horizontal",
        "displayMode": "gradient",
        "showUnfilled": True,
        "valueMode": "color",
    }
    look = {"unit": unit, "min": 0, "color": {"mode": "continuous-BlPu"}, "noValue": "-"}
    return _panel("bargauge", title, target, text, options, look | field)


def states(title: str, target: Sequence[Json], text: str, words: Mapping[int, tuple[str, str]]) -> Json:
    """Coloured spans over time; `words` and colours by value."""
    mapped = {str(value): {"text": word, "color": color, "index": value} for value, (word, color) in words.items()}
    options = {
        "mergeValues": True,
        "showValue": "auto",
        "rowHeight": 0.8,
        "legend": {"displayMode": "list", "placement": "bottom", "showLegend": False},
    }
    look = {
        "color": {"mode": "thresholds"},
        "custom": {"fillOpacity": 70},
        "mappings": [{"type": "value", "options": mapped}],
    }
    return _panel("state-timeline", title, target, text, options, look)


def table(title: str, target: Json, text: str, *, units: Mapping[str, str], bars: Iterable[str] = ()) -> Json:
    """Rows; `units` by column, and the columns of `bars`, which are from 0 to 1, with a bar in each cell."""
    options = {"showHeader": True, "cellHeight": "sm", "footer": {"show": False}}
    panel = _panel("table", title, target, text, options, {"custom": {"align": "auto", "filterable": True}})
    overrides = [_override(column, {"unit": unit}) for column, unit in units.items()]
    cell = {"type": "gauge", "mode": "gradient"}
    bar = {"custom.cellOptions": cell, "min": 0, "max": 1, "color": {"mode": "continuous-BlPu"}}
    overrides += [_override(column, bar) for column in bars]
    panel["fieldConfig"]["overrides"] = overrides
    return panel


def _override(column: str, properties: Mapping[str, Any]) -> Json:
    return {
        "matcher": {"id": "byName", "options": column},
        "properties": [{"id": name, "value": value} for name, value in properties.items()],
    }


def steps(first: str, *others: tuple[float, str]) -> Json:
    """Return the colours of a value: `first` below all, then each from its bound on."""
    bounds: list[Json] = [{"color": first, "value": None}]
    return {"mode": "absolute", "steps": bounds + [{"color": color, "value": bound} for bound, color in others]}


Row = tuple[str, int, Sequence[Json]]
"""Title (empty: none), height, and panels side by side, of equal width."""


def laid_out(rows: Sequence[Row]) -> list[Json]:
    """Return the panels with ids and places."""
    placed: list[Json] = []
    y = 0
    for title, height, panels in rows:
        if title:
            place = {"h": 1, "w": COLUMNS, "x": 0, "y": y}
            placed.append({"id": len(placed) + 1, "type": "row", "title": title, "collapsed": False, "panels": []})
            placed[-1]["gridPos"] = place
            y += 1
        width = COLUMNS // len(panels)
        for number, panel in enumerate(panels):
            place = {"h": height, "w": width, "x": number * width, "y": y}
            placed.append({"id": len(placed) + 1} | panel | {"gridPos": place})
        y += height
    return placed


def dashboard(uid: str, title: str, text: str, rows: Sequence[Row], **others: Any) -> Json:
    """Return a whole dashboard; `others` are its further fields, such as time, refresh, templating and links."""
    return {
        "uid": uid,
        "title": title,
        "description": text,
        "tags": ["cartcast"],
        "timezone": "utc",
        "schemaVersion": 39,
        "version": 1,
        "editable": True,
        "graphTooltip": 1,
        "annotations": {"list": []},
        "templating": {"list": []},
        "links": [],
        **others,
        "panels": laid_out(rows),
    }

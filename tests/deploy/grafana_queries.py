"""A panel's queries as they reach ClickHouse: variables and macros replaced as Grafana and its plugin do.

Macros: grafana/clickhouse-datasource, pkg/macros/macros.go. Variables: Grafana's format `sqlstring`.
"""

import re
from collections.abc import Mapping, Sequence
from datetime import datetime

_VARIABLE = re.compile(r"\$\{(\w+):(\w+)\}")
_MACRO = re.compile(r"\$__(\w+)(?:\((\w+)\))?")


def replaced(
    text: str, variables: Mapping[str, Sequence[str]], since: datetime, until: datetime, step_seconds: int
) -> str:
    """Return SQL that ClickHouse understands; KeyError for a variable or macro that does not exist."""

    def variable(found: re.Match[str]) -> str:
        assert found[2] == "sqlstring", f"{found[0]} is not quoted"
        return ",".join("'" + value.replace("'", "''") + "'" for value in variables[found[1]])

    def between(column: str, first: str, last: str) -> str:
        return f"{column} >= {first} AND {column} <= {last}"

    first, last = (f"toDateTime({int(each.timestamp())})" for each in (since, until))
    days = (f"toDate('{each:%Y-%m-%d}')" for each in (since, until))

    def macro(found: re.Match[str]) -> str:
        name, column = found[1], found[2]
        return {
            "fromTime": first,
            "toTime": last,
            "timeFilter": between(column, first, last),
            "dateFilter": between(column, *days) if name == "dateFilter" else "",
            "timeInterval": f"toStartOfInterval(toDateTime({column}), INTERVAL {step_seconds} second)",
            "interval_s": str(step_seconds),
        }[name]

    done = _MACRO.sub(macro, _VARIABLE.sub(variable, text))
    assert "$" not in done, done
    return done

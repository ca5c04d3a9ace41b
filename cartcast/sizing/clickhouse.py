"""ClickHouse: what the table takes on disk, and what filling it takes of CPU and network."""

from collections.abc import Sequence

from cartcast.sizing.coefficients import Coefficients
from cartcast.sizing.demand import Demand
from cartcast.sizing.line import Line


def clickhouse_lines(demand: Demand, measured: Coefficients) -> Sequence[Line]:
    """Return rows, disk, network in, and CPU without the readers' queries."""
    rate, copies, spare = demand.events_per_second, demand.table_copies, demand.headroom
    rows, row = rate * 86_400 * demand.horizon_days, measured.row_disk_bytes
    score, each = measured.score_disk_bytes, measured.clickhouse_cpu_us_an_event
    times = f"x {spare:g} x {copies:g} copies"
    return [
        Line("table_rows", rows, "rows", f"{rate:,.10g}/s x 86,400 s x {demand.horizon_days:g} days"),
        Line("table_disk", rows * row * spare * copies, "bytes", f"{rows:,.0f} rows x {row:,.10g} B {times}"),
        Line(
            "clickhouse_written",
            rate * score * copies,
            "bytes/s",
            f"{rate:,.10g}/s x {score:,.10g} B x {copies:g} copies",
        ),
        Line("clickhouse_cores", rate * each / 1e6 * spare * copies, "cores", f"{rate:,.10g}/s x {each:g} us {times}"),
    ]

"""Every metric of worker and sink with its type, labels and meaning: the page docs/metrics.md."""

from collections.abc import Iterable
from typing import Final

from cartcast.commands.sink import ENDING_SECONDS
from service.http import LIVE_PATH, METRICS_PATH, READY_PATH
from service.metrics import Declaration
from sinks.observe.metrics import DECLARED as SINK
from sinks.settings import SinkSettings
from streams.membership import PATIENCE_SECONDS
from streams.observe.metrics import DECLARED as WORKER
from streams.settings import DEFAULT_WEB_PORT, WorkerSettings

_SUFFIXES: Final = {"counter": "_total", "info": "_info"}

_INTRODUCTION: Final = f"""# Metrics and health

Written by `make reference` from the code; do not edit. Worker and sink serve three pages each:

| page | worker | sink |
| --- | --- | --- |
| port | `worker.web_port`, {DEFAULT_WEB_PORT} or the next free one | `sink.metrics_port`, none if it is not set |
| `{METRICS_PATH}` | what stands below, in Prometheus' text format | the same |
| `{LIVE_PATH}` | 200 while it gets on, in its group | 200 while its loops turn and its commits advance |
| `{READY_PATH}` | 200 while it scores, or would if it got a partition | 200 while it stores, or would if it got one |

`{METRICS_PATH}` asks for `Authorization: Bearer TOKEN` where a token is set (`worker.web_token`, `sink.metrics_token`);
the other two never do. A port that other machines reach needs a token. Both health pages answer 200, or 503, with what
they looked at:

```json
{{"status":"failing","checks":{{"model":"ok","group":"ok","states":"ok","kafka":"does not answer","running":"ok"}}}}
```

## A worker's health
`{LIVE_PATH}` fails when the event loop, or the commits while records wait, have stood still, or the consumer group
has assigned nothing, for longer than `worker.stalled_seconds` ({WorkerSettings().stalled_seconds:g}). What waits for
Kafka does not count: Kafka is away, or has not confirmed something. After the same time the watchdog ends the worker
with exit code 1 and one line that says what hung; nothing is lost. So does that of a sink of which a part hangs
(`sink.stalled_seconds`, {SinkSettings().stalled_seconds:g}). So a supervisor that starts ended processes again
need not ask `{LIVE_PATH}`. A worker that the group refuses ends after {PATIENCE_SECONDS:g} seconds and says why;
`{READY_PATH}` says it at once.

`{READY_PATH}` fails until the worker is in the consumer group, while it restores states, while no broker answers
(asked every two seconds, and given five to answer), and after SIGTERM. A worker beyond the number of partitions is a
standby: it is ready once it is in the group.

SIGTERM makes a worker finish what it has begun, commit and exit with 0. That is over after `worker.drain_seconds`
({WorkerSettings().drain_seconds:g}) at the latest, also while Kafka is away: then it exits with 1. Give it
{WorkerSettings().drain_seconds + 10:g} seconds before you kill it (Kubernetes: `terminationGracePeriodSeconds`).

SIGTERM makes a sink store what it has read, commit and exit with 0; where Kafka hangs, it exits with 1 after
{ENDING_SECONDS:g} seconds. No row is lost or stored twice.

## Traces
An event's `traceparent` and `tracestate` headers go on to its score, word for word, whatever is set. With
`trace.endpoint` the worker also sends a span a fetch, `score fetch`, linked to the sampled traces of its events; of
the fetches without one `trace.sample_ratio` says how many have a span. Needs the extra `trace`.

## Logs
Worker and sink log to stderr, one JSON object a line when that is no terminal (`log.format`). Lines name topics,
partitions, offsets, reasons and counts; never a shopper's id, what they did, or a secret.
"""


def page() -> str:
    """Return the page."""
    return "\n".join([_INTRODUCTION, _table("Worker", WORKER), _table("Sink", SINK), _OTHERS])


def _table(title: str, declared: Iterable[Declaration]) -> str:
    rows = sorted((f"{each.name}{_SUFFIXES.get(each.kind, '')}", each) for each in declared)
    head = [f"## {title}", "", "| metric | type | labels | meaning |", "| --- | --- | --- | --- |"]
    return "\n".join([*head, *(_row(name, each) for name, each in rows), ""])


def _row(name: str, declared: Declaration) -> str:
    labels = ", ".join(f"`{label}`" for label in declared.labels)
    return f"| `{name}` | {declared.kind} | {labels} | {declared.help} |"


_OTHERS: Final = """Both also serve `process_*` of Prometheus' client: CPU, memory, open files, start. A histogram has
`_bucket`, `_sum` and `_count`. [Alerts](runbooks/index.md) and [dashboards](grafana.md) use these
names, which a test compares.
"""

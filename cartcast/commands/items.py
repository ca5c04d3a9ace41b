"""`cartcast items`: the shop's catalogue on its topic."""

import json
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from cartcast.commands.shared.app import App
from cartcast.commands.shared.options import (
    EXIT_INTERRUPTED,
    BootstrapServers,
    Strict,
    TopicPrefix,
    given,
    settings_of,
)
from cartcast.commands.shared.progress import progress_bar
from cartcast.local.signals import StopRequested, stop_signals_raise
from model.items.feeds import FORMATS, read_items
from service.errors import FormatError, LookUpError, RefusedError, UsageError

if TYPE_CHECKING:
    from streams.item_topic import Load, Refusal, TopicContent

app = App(help="The shop's catalogue: what items are.", no_args_is_help=True)

_EXAMPLES: Final = 5


def _known_format(name: str | None) -> str | None:
    if name is not None and name not in FORMATS:
        raise UsageError(f"--format {name}: unknown; choose one of {', '.join(FORMATS)}")
    return name


Json = Annotated[bool, typer.Option("--json", help="Print one JSON object as the last line.")]


@app.command()
def load(
    context: typer.Context,
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="Files to read, plain or .gz.")],
    format_name: Annotated[
        str | None,
        typer.Option(
            "--format",
            callback=_known_format,
            help=f"What the files hold: {', '.join(FORMATS)}; found out if not given.",
            metavar="NAME",
        ),
    ] = None,
    replace: Annotated[
        bool, typer.Option("--replace", help="Then remove the items of the topic that the files do not have.")
    ] = False,
    strict: Strict = False,
    bootstrap_servers: BootstrapServers = None,
    topic_prefix: TopicPrefix = None,
    as_json: Json = False,
) -> None:
    """Send items from files to the items topic, and confirm every delivery; workers know them within a second.

    A file holds JSON lines (cartcast), a table with a header (csv, by tabs too; parquet), or Google's product feed
    (google, XML or by tabs). A row that is no item is counted and left out. --replace removes the items that no row is
    about; if a bad row does not say which item it is about, it removes none, and the command fails.

    Example: cartcast items load products.xml --replace
    """
    from streams.item_topic import ItemProducer, Load, item_partitions, keys_of

    sizes = [_size_bytes(file) for file in files]
    flags = given(bootstrap_servers=bootstrap_servers, topic_prefix=topic_prefix)
    kafka = settings_of(context, kafka=flags).kafka
    config, topic = kafka.client_config(), kafka.topics.items
    item_partitions(config, topic)
    known = keys_of(config, topic) if replace else set()
    with ItemProducer(config, topic) as producer:
        run = Load(producer)
        interrupted = _send_files(run, producer.flush, files, sizes, format_name, strict=strict)
        if replace and not interrupted and not run.unnamed:
            run.remove_others(known)
    _report(run, producer.refused, interrupted=interrupted, as_json=as_json)
    if interrupted:
        raise typer.Exit(EXIT_INTERRUPTED)
    if replace and run.unnamed:
        raise RefusedError(
            f"{run.unnamed:,} bad rows do not say which items they are about, so no item was removed: correct them"
        )


def _size_bytes(file: Path) -> int:
    try:
        return file.stat().st_size
    except OSError as failure:
        raise FormatError(f"{file} cannot be read: {(failure.strerror or '').lower()}") from None


def _send_files(
    run: "Load",
    flush: Callable[[], None],
    files: Sequence[Path],
    sizes: Sequence[int],
    name: str | None,
    *,
    strict: bool,
) -> bool:
    """Send all files; return whether a signal broke it off. What was sent is confirmed in either case."""
    done_bytes = 0
    try:
        with stop_signals_raise(), progress_bar("items", sum(sizes)) as advance:
            for file, size in zip(files, sizes, strict=True):

                def on_bytes(read_bytes: int, before: int = done_bytes) -> None:
                    advance(before + read_bytes, f"{run.loaded.items:,} items")

                run.send_rows(file.name, read_items(file, name, strict=strict, on_bytes=on_bytes))
                done_bytes += size
                on_bytes(0, done_bytes)
            flush()
    except StopRequested:
        return True
    except FormatError as failure:
        flush()
        raise FormatError(f"{failure} ({run.loaded.items:,} items before it were sent)") from None
    return False


def _report(run: "Load", refused: int, *, interrupted: bool, as_json: bool) -> None:
    loaded, bad = run.loaded, run.loaded.bad_rows.total()
    for file_name, row in loaded.first_bad_rows:
        print(f"bad row: {file_name}, line {row.line}: {row.error}", file=sys.stderr)
    if (more := bad - len(loaded.first_bad_rows)) > 0:
        print(f"bad rows: and {more:,} more", file=sys.stderr)
    if refused:
        print(f"the items topic did not take {refused:,} items, which are too large", file=sys.stderr)
    items = loaded.items - refused
    if as_json:
        counts = {"items": items, "removed": loaded.removed, "refused": refused, "bad_rows": bad}
        print(json.dumps({**counts, "bad_rows_by_reason": dict(loaded.bad_rows), "interrupted": interrupted}))
        return
    end = "interrupted after" if interrupted else "sent"
    share = f" ({100 * bad / max(bad + loaded.items, 1):.1f} % of all)" if bad else ""
    print(f"{end} {items:,} items, removed {loaded.removed:,}, left out {bad:,} bad rows{share}")


@app.command()
def show(
    context: typer.Context,
    item_id: Annotated[str | None, typer.Argument(metavar="[ID]", help="Show this item.")] = None,
    refused: Annotated[bool, typer.Option("--refused", help="List the records that are no items, and why.")] = False,
    bootstrap_servers: BootstrapServers = None,
    topic_prefix: TopicPrefix = None,
    as_json: Json = False,
) -> None:
    """Read the items topic once, as every worker does: one item, or how many there are, and what was refused.

    Example: cartcast items show sku-123
    """
    from streams.item_topic import read_content

    flags = given(bootstrap_servers=bootstrap_servers, topic_prefix=topic_prefix)
    kafka = settings_of(context, kafka=flags).kafka
    content = read_content(kafka.client_config(), kafka.topics.items, None if item_id is None else item_id.encode())
    if item_id is not None:
        _show_item(item_id, content)
    elif refused:
        _show_refused(content.refused, as_json=as_json)
    else:
        _show_counts(content, as_json=as_json)


def _show_item(item_id: str, content: "TopicContent") -> None:
    import msgspec

    if content.wanted is None:
        raise LookUpError(f"no item {item_id} is on the topic: `cartcast items show --refused` lists what is refused")
    print(msgspec.json.encode(content.wanted).decode())


def _show_refused(refused: Sequence["Refusal"], *, as_json: bool) -> None:
    if as_json:
        found = [{"partition": each.partition, "offset": each.offset, "key": each.key} for each in refused]
        whys = [{"reason": each.reason, "error": each.error} for each in refused]
        print(json.dumps({"refused": [one | why for one, why in zip(found, whys, strict=True)]}))
        return
    for each in refused:
        print(f"partition {each.partition}, offset {each.offset}, key {each.key}: {each.error}")
    print(f"{len(refused):,} records are no items")


def _show_counts(content: "TopicContent", *, as_json: bool) -> None:
    reasons = Counter(each.reason for each in content.refused)
    if as_json:
        counts = {"items": len(content.items), "with": dict(content.fields), "dimension": content.dimension}
        print(json.dumps({**counts, "refused": dict(reasons.most_common())}))
        return
    print(f"{len(content.items):,} items")
    for field, number in content.fields.items():
        length = f" of {content.dimension} numbers" if field == "vector" and content.dimension else ""
        print(f"  with {field}{length}: {number:,}")
    for key in list(content.items)[:_EXAMPLES]:
        print(f"for example {key.decode()}")
    if reasons:
        listed = ", ".join(f"{reason} {number:,}" for reason, number in reasons.most_common())
        print(f"refused {reasons.total():,} records: {listed} (`cartcast items show --refused`)")

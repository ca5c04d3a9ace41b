"""The quickstart, followed on the session's servers: a shop with topics, tables, a worker, a sink, and scores."""

from collections.abc import Iterator

import pytest

from cartcast.local.stack import LocalStack
from tests.docs.fences import ROOT, Block, blocks_of
from tests.docs.shop import Shop, accepted_events
from tests.harness.ports import new_port


@pytest.fixture(scope="session")
def quickstart() -> list[Block]:
    """The quickstart's blocks after the start of the servers, which the session has."""
    found = [block for block in blocks_of(ROOT / "docs/quickstart.md") if not block.reason]
    return [block for block in found if "make setup" not in block.text and "cartcast up" not in block.text]


@pytest.fixture(scope="session")
def shop(stack: LocalStack, quickstart: list[Block], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    """The shop after the quickstart's last command that sends events, when all is stored."""
    opened = Shop(stack, tmp_path_factory.mktemp("shop"), new_port())
    try:
        for block in quickstart:
            opened.run_script(block.text.replace("cartcast doctor\n", ""))  # a test of its own looks at it
            if "cartcast replay" in block.text:
                break
        opened.wait_for_rows(accepted_events(opened.directory / "shop.jsonl"))
        yield opened
    finally:
        for process in opened.running.values():
            process.kill()
            process.wait()
        opened.drop_tables()

"""The arithmetic of a run's results, and the page that is written from them."""

import xml.etree.ElementTree as ET
from pathlib import Path

import msgspec
import numpy as np
import pytest

from benchmarks.peers import HERE, PEERS
from benchmarks.picture import Bar, chart
from benchmarks.pipeline import delay_of
from benchmarks.report import BEGIN, END, PAGE, figures, write_page
from benchmarks.results import (
    Contestant,
    Delay,
    Machine,
    ManyShoppers,
    Pipeline,
    Recommendation,
    Results,
    Size,
    Speed,
    States,
    read_results,
)
from benchmarks.worker import STAGE_SUM, stages_between


def speed(events_per_second: float, program_us: float) -> Speed:
    return Speed(
        events_per_second=events_per_second,
        program_us=program_us,
        broker_us=2.0,
        memory_bytes=3e8,
        start_seconds=4.25,
    )


def results() -> Results:
    return Results(
        date="2026-01-02",
        command="make bench",
        version="1.2.3",
        machine=Machine(
            processor="a processor", cores=2, memory_bytes=8_000_000_000, system="Linux", python="3.11", load_before=0.1
        ),
        size=Size(
            mode="full", events=1000, warm_up_events=200, shoppers=50, partitions=4, repetitions=3, event_bytes=199.6
        ),
        core_hour_dollars=0.036,
        contestants=[
            Contestant(name="Flink", how="as it is", events=1000, runs=[speed(5, 9), speed(1, 8), speed(3, 10)]),
            Contestant(name="Cartcast", how="one worker", events=1000, runs=[speed(4, 8)]),
            Contestant(name="Quix", how="installed", events=1000, failure="no network"),
        ],
        stages_us={"decode": 1.5, "a stage of tomorrow": 0.25},
        pipeline=Pipeline(
            events_per_second=30_000.0,
            cpu_us={"worker": 8.0, "broker": 6.0, "sink": 4.0, "clickhouse": 10.0, "producer": 3.0},
            memory_bytes={"worker": 5e8},
        ),
        delays=[Delay(load="50%", events_per_second=15_000, p50_ms=9, p99_ms=29, max_ms=40, scores=100)],
        states=States(
            shoppers=50_000,
            memory_bytes_a_shopper=1000,
            changelog_bytes_a_shopper=500,
            restore_seconds=0.5,
            ready_seconds=3,
        ),
        many_shoppers=ManyShoppers(
            shoppers=10, memory_bytes=1e9, events_per_second=1.0, ended="every shopper was scored"
        ),
        recommendations=[
            Recommendation(items=50_000, listed=20, events=32, cpu_ms=3.456),
        ],
        failures={"Many shoppers": "too many"},
    )


def test_each_figure_has_its_own_median():
    assert results().contestants[0].speed == speed(3, 9)
    assert results().contestants[2].speed is None


def test_a_million_scores_cost_the_cores_they_take():
    # 10 us each are 10 s of a core a million, 1 / 360 of an hour.
    assert results().dollars_a_million(10.0) == pytest.approx(0.036 / 360)


def test_the_producer_is_not_part_of_the_price():
    found = results().pipeline
    assert found is not None
    assert found.scoring_cpu_us == 28.0


def test_the_json_line_reads_back_as_it_was():
    line = results().json_line()
    assert "\n" not in line
    assert read_results(line) == results()


def test_a_restore_is_told_for_a_million_shoppers():
    found = results().states
    assert found is not None
    assert found.restore_seconds_a_million == 10.0


def test_a_recommendations_cost_stands_with_its_number_of_items():
    assert "| of 50,000 | 3.46 |" in figures(results())
    assert "20 items for a shopper of 32 events" in figures(results())


def test_the_delay_leaves_out_the_first_fifth():
    created = np.arange(0, 1001, 10)
    times = np.stack([created, created + np.where(created < 200, 5000, 7)], axis=1)
    found = delay_of("half", 100.0, times)
    assert (found.p50_ms, found.p99_ms, found.max_ms, found.scores) == (7.0, 7.0, 7.0, 81)


def test_stages_are_those_that_the_worker_declares():
    before = {(STAGE_SUM, "decode"): 1.0, ("other", ""): 4.0}
    after = {(STAGE_SUM, "decode"): 1.5, (STAGE_SUM, "new"): 0.1, ("other", ""): 9.0}
    assert stages_between(before, after, 1000) == pytest.approx({"decode": 500.0, "new": 100.0})


def test_a_peer_that_failed_is_no_failure_of_ours():
    assert results().own_failures == ["too many"]
    ours = Contestant(name="Cartcast, two workers", how="", events=1, failure="one ended")
    assert Results(**{**msgspec.structs.asdict(results()), "contestants": [ours]}).own_failures[0] == "one ended"


def test_the_figures_name_everything_that_was_found_and_what_failed():
    shown = figures(results())
    for words in (
        "2 cores of a processor",
        "at $0.036 an hour of a core",
        "| Flink | 3 | 9.00 | 2.00 | 0.30 | 4.2 | 0.00011 |",
        "- **Flink**: as it is.",
        "| a stage of tomorrow | 0.25 |",
        "30,000 events/s",
        "| ClickHouse engine | 10.00 |  |",
        "| 50% | 15,000 | 9 | 29 | 40 | 100 |",
        "| the same, a million shoppers | 10.0 s |",
        "every shopper was scored",
        "- Quix failed: no network",
        "- Many shoppers failed: too many",
    ):
        assert words in shown


def test_a_run_that_found_nothing_has_figures_too():
    empty = Results(
        date="", command="", version="", machine=results().machine, size=results().size, core_hour_dollars=1.0
    )
    assert "|" not in figures(empty)


def test_the_page_keeps_its_words_and_gets_the_figures_of_the_last_run_only(tmp_path: Path):
    page, picture = tmp_path / "performance.md", tmp_path / "performance.svg"
    page.write_text(f"# Before\n\n{BEGIN}\n\nold\n\n{END}\n\n## After\n")
    write_page(results(), page, picture)
    once = page.read_text()
    write_page(results(), page, picture)
    assert page.read_text() == once
    assert once.startswith(f"# Before\n\n{BEGIN}")
    assert once.endswith(f"{END}\n\n## After\n")
    assert "old" not in once
    assert "(performance.svg)" in once


def test_the_page_of_the_documents_can_be_written():
    text = PAGE.read_text()
    assert text.count(BEGIN) == text.count(END) == 1
    assert text.index(BEGIN) < text.index(END)


def test_the_picture_has_a_bar_for_each_program_and_the_longest_first():
    drawn = ET.fromstring(chart("speed", [Bar("small & slow", 10.0, "10"), Bar("Cartcast", 40.0, "40")]))  # noqa: S314
    namespace = "{http://www.w3.org/2000/svg}"
    lengths = [float(bar.attrib["width"]) for bar in drawn.iter(f"{namespace}rect")][1:]
    assert lengths[0] == pytest.approx(4 * lengths[1])
    assert [text.text for text in drawn.iter(f"{namespace}text")][1:] == ["Cartcast", "40", "small & slow", "10"]


def test_peers_have_names_of_their_own_and_the_page_names_each_program():
    assert len({peer.name for peer in PEERS}) == len(PEERS)
    programs = {path.name for path in (*HERE.glob("*.java"), *HERE.glob("*.py"))} - {"__init__.py", "java.py"}
    assert len(programs) == len(PEERS)
    assert [name for name in programs if f"benchmarks/peers/{name}" not in PAGE.read_text()] == []

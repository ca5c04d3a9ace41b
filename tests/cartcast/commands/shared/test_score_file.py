import csv
import gzip
import io
import json
import resource
from contextlib import suppress
from dataclasses import replace

import numpy as np
import pyarrow.parquet as pq
import pytest

from cartcast.commands.shared.score_file import check_score_file, score_file
from model.heads import HeadNames
from model.offline import ScoredEvents
from service.errors import OutputError, UsageError

HORIZONS = ("session", "30m", "7d")
COLUMNS = ["row", "user_id", "event_id", "event_time", "propensity_session", "propensity_30m", "propensity_7d"]


def typed(text: str) -> list:
    """Rows of CSV whose values are what they look like."""
    read = csv.DictReader(io.StringIO(text))
    return [{name: json.loads(one) if one[:1] in "[0123456789" else one for name, one in row.items()} for row in read]


READERS = {
    ".csv": lambda path: typed(path.read_text()),
    ".csv.gz": lambda path: typed(gzip.decompress(path.read_bytes()).decode()),
    ".parquet": lambda path: pq.read_table(path).to_pylist(),
    ".jsonl": lambda path: [json.loads(line) for line in path.read_bytes().splitlines()],
    ".jsonl.gz": lambda path: [json.loads(line) for line in gzip.decompress(path.read_bytes()).splitlines()],
}


def some_scores(first: int, count: int) -> ScoredEvents:
    rows = np.arange(first, first + count)
    return ScoredEvents(
        rows,
        [f"ü{row}\n" for row in rows],
        [f"e{row}" for row in rows],
        1_700_000_000_000 + rows,
        np.stack([rows / 1e6, np.full(count, 0.5), np.full(count, 0.999999)], axis=1),
    )


@pytest.fixture
def small_files():
    """No file may grow beyond a megabyte: as near to a full disk as a test comes."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.fixture(params=READERS)
def suffix(request):
    return request.param


def test_what_was_written_can_be_read_back_in_order(tmp_path, suffix):
    out = tmp_path / f"scores{suffix}"
    with score_file(out, HORIZONS) as file:
        file.write(some_scores(0, 3))
        file.write(some_scores(3, 1))
    rows = READERS[suffix](out)
    assert [row["row"] for row in rows] == [0, 1, 2, 3]
    assert list(rows[3]) == COLUMNS
    assert list(rows[3].values()) == [3, "ü3\n", "e3", 1_700_000_000_003, 3e-6, 0.5, 0.999999]


def test_answers_of_further_heads_follow_the_propensities(tmp_path, suffix):
    out = tmp_path / f"scores{suffix}"
    extra = HeadNames(("next_type", "purchase_category")).fields
    with score_file(out, HORIZONS, extra) as file:
        file.write(replace(some_scores(0, 2), extra=[["cart", "view"], [0.41, 0.5], [["shoes", "ü"], []]]))
    rows = READERS[suffix](out)
    assert list(rows[0]) == [*COLUMNS, "next_type", "next_type_propensity", "next_purchase_categories"]
    assert list(rows[0].values())[-3:] == ["cart", 0.41, ["shoes", "ü"]]
    assert list(rows[1].values())[-3:] == ["view", 0.5, []]


def test_a_file_without_an_accepted_event_is_a_file_without_rows(tmp_path, suffix):
    out = tmp_path / f"scores{suffix}"
    with score_file(out, HORIZONS):
        pass
    assert READERS[suffix](out) == []


def test_a_failure_leaves_the_earlier_file_and_nothing_else(tmp_path, suffix):
    out = tmp_path / f"scores{suffix}"
    out.write_text("earlier")
    with suppress(ZeroDivisionError), score_file(out, HORIZONS) as file:
        file.write(some_scores(0, 3))
        raise ZeroDivisionError
    assert [path.name for path in tmp_path.iterdir()] == [out.name]
    assert out.read_text() == "earlier"


@pytest.mark.usefixtures("small_files")
def test_a_full_disk_is_one_line_and_leaves_nothing(tmp_path, suffix):
    out = tmp_path / f"scores{suffix}"
    with pytest.raises(OutputError, match=r"cannot be written: .*; make room"), score_file(out, HORIZONS) as file:
        _write_until_it_fails(file)
    assert list(tmp_path.iterdir()) == []


def _write_until_it_fails(file) -> None:
    rng = np.random.default_rng(1)
    for number in range(20):
        scores = some_scores(number * 50_000, 50_000)
        file.write(replace(scores, propensities=rng.random((50_000, 3))))


def test_parquet_has_few_large_row_groups(tmp_path):
    out = tmp_path / "scores.parquet"
    with score_file(out, HORIZONS) as file:
        for number in range(11):
            file.write(some_scores(number * 20_000, 20_000))
    assert pq.ParquetFile(out).num_row_groups == 3


@pytest.mark.parametrize("name", ["scores.tsv", "scores", "scores.gz", "scores.parquet.gz"])
def test_another_suffix_is_refused_with_the_known_ones(tmp_path, name):
    with pytest.raises(UsageError, match=r"\.parquet, \.csv, \.csv\.gz, \.jsonl, \.jsonl\.gz"):
        check_score_file(tmp_path / name)


def test_a_place_that_takes_no_file_is_refused_before_the_work(tmp_path):
    (tmp_path / "file").touch()
    (tmp_path / "directory.parquet").mkdir()
    for out in (tmp_path / "file" / "scores.parquet", tmp_path / "directory.parquet"):
        with pytest.raises(UsageError, match=str(out)):
            check_score_file(out)


def test_missing_directories_are_made(tmp_path):
    out = tmp_path / "new" / "scores.parquet"
    check_score_file(out)
    with score_file(out, HORIZONS) as file:
        file.write(some_scores(0, 1))
    assert out.is_file()

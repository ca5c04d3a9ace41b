import json

import pytest

from tests.harness.command import run_command

ROWS = "1,2,3,pv,1511539217\n1,2,3,pv,1511539217\nbroken\n1,2,3,buy,1511539277\n2,2,3,pv,1511639217\n"


def run(*arguments: object) -> tuple[int, str, str]:
    ended = run_command("inspect", *arguments)
    return ended.status, ended.stdout, ended.stderr


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "history.csv"
    path.write_text(ROWS)
    return path


def test_a_directory_is_said_to_be_one(tmp_path):
    code, _, error = run(tmp_path)
    assert (code, error) == (1, f"cartcast: {tmp_path} is a directory: name the files in it\n")


def test_json_is_one_object_on_the_last_line(file):
    code, out, _ = run(file, "--format", "taobao", "--json")
    assert code == 0
    found = json.loads(out.splitlines()[-1])
    assert (found["events"], found["duplicates"], found["users"], found["bad_rows"]) == (3, 1, 2, 1)
    assert found["bad_rows_by_reason"]["columns"]["first"] == ["history.csv:3"]
    assert (found["first_event"], found["span_days"]) == ("2017-11-24T16:00:17+00:00", 1.157)
    assert found["horizons"]["1h"] == {"base_rate": 0.5, "known": 2, "unknown": 1}
    assert found["sorted_by_time"] is True


def test_blank_lines_are_no_rows_and_are_counted_so_that_lines_add_up(file):
    file.write_text(ROWS.replace("broken", "\n \t\nbroken\n"))
    code, out, _ = run(file, "--format", "taobao", "--json")
    assert code == 0
    found = json.loads(out.splitlines()[-1])
    assert (found["blank_lines"], found["bad_rows_by_reason"]["columns"]["first"]) == (3, ["history.csv:5"])
    lines = len(file.read_text().splitlines())
    assert found["events"] + found["duplicates"] + found["bad_rows"] + found["blank_lines"] == lines
    assert "blank lines" in run(file, "--format", "taobao")[1]


def test_a_person_is_shown_tables(file):
    code, out, _ = run(file, "--format", "taobao", "--horizons", "session,30m")
    assert code == 0
    for words in ("3, and 1 repeated", "30m", "history.csv:3", "the row has 1 columns, not 5", "1 rows are bad"):
        assert words in out


@pytest.mark.parametrize("horizons", ["", "1h,", "soon", "-1h", "99999d", "1h;2h"])
def test_horizons_that_are_none_are_wrong_usage(file, horizons):
    code, _, error = run(file, "--format", "taobao", "--horizons", horizons)
    assert code == 2
    assert error.startswith("cartcast: --horizons")
    assert error.count("\n") == 1


@pytest.mark.parametrize(
    ("content", "format_name", "words"),
    [
        ("", "taobao", "is empty"),
        ("\n\n", "otto", "holds no rows"),
        (ROWS, "rees46", "it looks like --format taobao"),
        ("a;b\n1;2\n", "segment", "choose another --format"),
    ],
)
def test_a_file_that_cannot_be_read_is_one_clear_line(file, content, format_name, words):
    file.write_text(content)
    code, _, error = run(file, "--format", format_name, "--json")
    assert code == 1
    assert words in error.splitlines()[-1]


def test_strict_stops_at_the_first_bad_row(file):
    code, _, error = run(file, "--format", "taobao", "--strict")
    assert code == 1
    assert "line 3" in error


def test_a_suggested_shop_file_is_one_that_can_be_given(tmp_path):
    events, shop = tmp_path / "events.jsonl", tmp_path / "shop.yml"
    line = '{"event_id":"%d","user_id":"u","type":"joined","ts":17000000000%02d,"attributes":{"plan":"%d"}}'
    events.write_text("\n".join(line % (number, number, number % 3) for number in range(20)))
    assert run(events, "--format", "cartcast", "--suggest", shop)[0] == 0
    code, out, _ = run(events, "--format", "cartcast", "--shop", shop, "--json")
    assert code == 0
    found = json.loads(out.splitlines()[-1])
    assert (found["types"]["joined"], found["filled"]["plan"]) == (20, 20)
    code, _, error = run(events, "--format", "cartcast", "--suggest", shop)
    assert (code, "exists" in error) == (2, True)
    code, _, error = run(events, "--format", "taobao", "--suggest", tmp_path / "other.yml")
    assert (code, "nothing that a shop could define" in error) == (2, True)


def test_a_suggested_mapping_is_one_that_can_be_given(tmp_path):
    events, mapping, shop = tmp_path / "events.csv", tmp_path / "map.yml", tmp_path / "shop.yml"
    rows = "".join(f"2026-01-0{day} 10:00:00;c{day};{name}\n" for day in range(1, 6) for name in ("seen", "Bought"))
    events.write_text("created_at;customer;action\n" + rows)
    code, _, error = run(events)
    assert (code, "--suggest map.yml" in error) == (1, True)
    code, out, _ = run(events, "--suggest", mapping)
    assert (code, "is a mapping to correct" in out) == (0, True)
    mapping.write_text(mapping.read_text().replace("seen: other", "seen: view"))
    code, out, _ = run(events, "--format", mapping, "--suggest", shop, "--json")
    found = json.loads(out.splitlines()[-1])
    assert (code, found["types"]["view"], found["types"]["purchase"], found["bad_rows"]) == (0, 5, 5, 0)
    mapping.write_text("fields: {user_id: customer, ts: created_at, kind: action}\n")
    code, _, error = run(events, "--format", mapping)
    assert (code, f"{mapping}: fields.kind: unknown" in error) == (2, True)
    assert run(events, "--format", tmp_path / "none.yml")[0] == 2

import gzip
import json

from tests.harness.command import run_command

ROWS = "2,2,3,pv,1511639217\nbroken\n1,2,3,buy,1511539277\n1,2,3,pv,1511539217\n"


def test_a_sorted_file_is_one_that_can_be_read(tmp_path):
    file, out = tmp_path / "history.csv", tmp_path / "sorted.jsonl.gz"
    file.write_text(ROWS)
    ended = run_command("sort", file, "--out", out, "--json")
    assert ended.status == 0
    assert json.loads(ended.stdout.splitlines()[-1]) == {"events": 3, "bad_rows": 1, "out": str(out)}
    times = [json.loads(line)["ts"] for line in gzip.decompress(out.read_bytes()).splitlines()]
    assert times == sorted(times)
    found = json.loads(run_command("inspect", out, "--json").stdout.splitlines()[-1])
    assert (found["events"], found["format"], found["sorted_by_time"]) == (3, "cartcast", True)


def test_a_file_that_cannot_be_read_leaves_no_result(tmp_path):
    file, out = tmp_path / "history.csv", tmp_path / "sorted.jsonl"
    file.write_text(ROWS)
    for arguments, status, words in (
        ((file, "--out", out, "--strict"), 1, "line 2"),
        ((file, "--out", tmp_path / "sorted.csv"), 2, "must end with"),
        ((file, "--out", tmp_path / "none" / "sorted.jsonl"), 1, "cannot be written"),
    ):
        ended = run_command("sort", *arguments)
        assert (ended.status, words in ended.stderr.splitlines()[-1]) == (status, True)
    assert list(tmp_path.iterdir()) == [file]

"""The command `cartcast size`, and what docs/capacity.md quotes of it."""

import json
import re
import shlex
from pathlib import Path

from tests.harness.command import run_command

PAGE = Path(__file__).parents[3] / "docs" / "capacity.md"
ASKED = ["--events-per-second", "10000", "--users", "1000000", "--horizon-days", "30"]


def test_it_prints_every_number_with_its_arithmetic_and_the_same_as_json():
    ran = run_command("size", *ASKED, "--json")
    assert ran.status == 0, ran.stderr
    head, *lines, last = ran.stdout.splitlines()
    assert head.startswith("measured on ")
    assert len(lines) == len(json.loads(last))
    assert all(" = " in line for line in lines)
    assert {"workers", "partitions", "sinks", "table_disk_bytes", "changelog_disk_bytes"} <= json.loads(last).keys()


def test_what_makes_no_sense_is_wrong_usage_in_one_line():
    ran = run_command("size", "--events-per-second", "0", *ASKED[2:])
    assert (ran.status, ran.stdout, ran.stderr.count("\n")) == (2, "", 1)
    assert "--events-per-second 0 makes no sense: give more than 0 to 10,000,000" in ran.stderr


def test_the_page_quotes_what_the_command_prints():
    quoted = re.findall(r"^\$ cartcast size (.+?)\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    assert quoted
    for arguments, printed in quoted:
        assert run_command("size", *shlex.split(arguments)).stdout == printed, "quote it again in docs/capacity.md"

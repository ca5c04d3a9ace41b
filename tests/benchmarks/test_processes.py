import os
import subprocess
import sys

import pytest

from benchmarks.processes import PROC, Stat, Usage, below, started_here, usage_below

pytestmark = pytest.mark.skipif(not PROC.joinpath("self/stat").exists(), reason="there is no /proc")


def test_a_name_with_spaces_and_parentheses_is_no_field():
    line = "7 (a ) b) S 3 0 0 0 0 0 0 0 0 0 100 50 40 10 20 0 1 0 5 4096 2 0\n"
    stat = Stat.of(line)
    assert stat.parent == 3
    assert stat.cpu_seconds == pytest.approx(200 / os.sysconf("SC_CLK_TCK"))
    assert stat.resident_bytes == 2 * os.sysconf("SC_PAGE_SIZE")


def test_descendants_are_found_at_any_depth_and_the_root_is_left_out():
    found = {1: Stat(0, 0, 0), 2: Stat(1, 0, 0), 3: Stat(2, 0, 0), 4: Stat(1, 0, 0), 9: Stat(8, 0, 0)}
    assert below([2], found) == {3}
    assert below([1], found) == {2, 3, 4}
    assert below([2, 4], found) == {3}


def test_what_a_child_uses_is_counted_until_it_ends():
    script = "import sys; sum(range(3_000_000)); print(1, flush=True); sys.stdin.read(); # marked-by-this-test"
    with subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        child.stdout.read(1)
        used = usage_below(os.getpid())
        assert used.memory_bytes > 1_000_000
        assert started_here("marked-by-this-test") == child.pid
        assert usage_below(child.pid) == Usage(0, 0)
        child.kill()
    with pytest.raises(LookupError):
        started_here("marked-by-this-test")

import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from cartcast.local.processes import Child, Children, wait_until_ready
from service.errors import LocalStackError
from tests.harness.waiting import DEADLINE_SECONDS, eventually

# Says its process id, then waits; SIGTERM is its death, unless it was told to be stubborn.
WAITER = "import os, signal, sys; {prelude}; print('pid', os.getpid(), flush=True); signal.pause()"
POLITE = WAITER.format(prelude="pass")
STUBBORN = WAITER.format(prelude="signal.signal(signal.SIGTERM, signal.SIG_IGN)")


def log_contains(child: Child, text: str) -> bool:
    return text.encode() in child.log_path.read_bytes()


@pytest.fixture
def children(tmp_path: Path) -> Iterator[Children]:
    with Children(tmp_path) as running:
        yield running


def python(source: str) -> list[str]:
    return [sys.executable, "-c", source]


def started_pid(log_path: Path) -> int:
    eventually(lambda: log_path.read_text().endswith("\n"), "the process id")
    return int(log_path.read_text().split()[1])


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def wait_until_gone(pid: int) -> None:
    eventually(lambda: not is_alive(pid), f"the end of process {pid}")


def test_leaving_the_block_ends_the_command(tmp_path: Path) -> None:
    with Children(tmp_path) as children:
        pid = started_pid(children.start("waiter", python(POLITE)).log_path)
        assert is_alive(pid)
    wait_until_gone(pid)


def test_a_command_that_ignores_sigterm_is_killed_after_the_grace_period(children: Children) -> None:
    child = children.start("stubborn", python(STUBBORN))
    pid = started_pid(child.log_path)
    child.stop(grace_seconds=0.1)
    wait_until_gone(pid)


def test_sigterm_reaches_the_command_once(children: Children) -> None:
    source = """if True:
        import signal
        seen = []
        signal.signal(signal.SIGTERM, lambda *_: seen.append(1))
        signal.signal(signal.SIGALRM, lambda *_: None)
        print("pid 0", flush=True)
        signal.pause()
        signal.setitimer(signal.ITIMER_REAL, 0.3)  # time for a second SIGTERM, which must not come
        signal.pause()
        print("times", len(seen))
    """
    child = children.start("counter", python(source))
    started_pid(child.log_path)
    child.stop()
    assert "times 1" in child.log_path.read_text()


def test_the_exit_status_passes_through_the_tether(children: Children) -> None:
    child = children.start("failing", python("import sys; sys.exit(7)"))
    assert child.wait(DEADLINE_SECONDS) == 7


def test_death_by_a_signal_is_the_shells_status(children: Children) -> None:
    child = children.start("killed", python("import os; os.kill(os.getpid(), 9)"))
    assert child.wait(DEADLINE_SECONDS) == 128 + signal.SIGKILL


def test_the_command_sees_the_environment_it_is_given(children: Children) -> None:
    child = children.start("reader", python("import os; print(os.environ['SHOP'])"), {"SHOP": "corner"})
    child.wait(DEADLINE_SECONDS)
    assert child.last_words() == "corner"


@pytest.mark.parametrize(("gives_way", "niceness"), [(False, 0), (True, 10)])
def test_a_command_gives_way_to_others_if_it_is_to(children: Children, gives_way: bool, niceness: int) -> None:
    here = os.getpriority(os.PRIO_PROCESS, 0)
    said = python("import os; print(os.getpriority(os.PRIO_PROCESS, 0), os.getsid(0))")
    child = children.start("polite", said, gives_way=gives_way)
    assert child.wait(DEADLINE_SECONDS) == 0
    # of another session's processes Linux compares only the sessions, if these are its autogroups
    assert child.log_path.read_text().split() == [str(here + niceness), str(os.getsid(0))]


def test_a_command_that_dies_before_it_is_ready_is_reported_with_its_last_complaint(children: Children) -> None:
    child = children.start("server", python("print('ERROR no port left'); print('bye'); raise SystemExit(3)"))
    with pytest.raises(LocalStackError, match=r"server ended with status 3: ERROR no port left \(see .*server\.log\)"):
        wait_until_ready(child, lambda: False)


@pytest.mark.parametrize(
    ("written", "words"),
    [
        ("java.lang.RuntimeException: no port\n\tat kafka.Kafka\nbye", "java.lang.RuntimeException: no port"),
        ("cartcast: set the device\nbye", "set the device"),
        ('{"event": "crashed", "level": "error"}\n{"event": "stopped", "level": "info"}', "error: crashed"),
        ('{"event": "ready", "level": "info"}', "ready"),
        ("one\ntwo", "two"),
        ("", "it wrote nothing"),
    ],
)
def test_last_words_are_the_line_that_says_most(children: Children, written: str, words: str) -> None:
    child = children.start("speaker", python(f"print({written!r})"))
    child.wait(DEADLINE_SECONDS)
    assert child.last_words() == words


def test_a_command_that_never_gets_ready_is_reported(children: Children) -> None:
    child = children.start("server", python(POLITE))
    with pytest.raises(LocalStackError, match="server is not ready after 0 s"):
        wait_until_ready(child, lambda: False, timeout_seconds=0)


def test_readiness_may_be_a_line_in_the_log(children: Children) -> None:
    child = children.start("server", python(POLITE))
    wait_until_ready(child, lambda: log_contains(child, "pid"))


def test_check_names_the_child_that_ended(children: Children) -> None:
    children.start("steady", python(POLITE))
    child = children.start("fickle", python("pass"))
    child.wait(DEADLINE_SECONDS)
    with pytest.raises(LocalStackError, match="fickle ended with status 0: it wrote nothing"):
        children.check()


def test_children_end_when_their_starter_is_killed_with_9(tmp_path: Path) -> None:
    starter = (
        "import sys, time; from pathlib import Path; from cartcast.local.processes import Children\n"
        f"with Children(Path({str(tmp_path)!r})) as children:\n"
        f"    child = children.start('orphan', [sys.executable, '-c', {POLITE!r}])\n"
        "    print(child.log_path, flush=True); time.sleep(600)\n"
    )
    with Children(tmp_path / "outer") as outer:
        parent = outer.start("starter", python(starter))
        orphan_log = tmp_path / "orphan.log"
        wait_until_ready(parent, lambda: log_contains(parent, "orphan.log"))
        pid = started_pid(orphan_log)
        parent.kill()
    wait_until_gone(pid)

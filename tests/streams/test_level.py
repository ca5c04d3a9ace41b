"""A worker's level: which file it follows, and what it does when that breaks."""

import pytest

from model.level import LEVEL_FILE, Level, LevelFile, write_level_file
from streams.level import LevelWatch

SHIFTS = {"session": 0.5, "1h": -0.25, "24h": 0.0}


def write(directory, version, shifts):
    write_level_file(directory, LevelFile(version, (Level(1000, shifts),)))


@pytest.fixture
def watch(checkpoint, tmp_path):
    return LevelWatch(tmp_path, checkpoint, lambda: 5000)


def test_a_file_is_read_when_it_appears_and_when_it_changes(watch, checkpoint, tmp_path, capsys):
    watch.look()
    assert (watch.now(), bool(watch.content)) == ({}, False)
    for shift in (0.25, -0.5):
        write(tmp_path, checkpoint.version, SHIFTS | {"1h": shift})
        watch.look()
        assert watch.now() == SHIFTS | {"1h": shift}
    assert capsys.readouterr().out.count("levels are read") == 2


def test_what_is_written_after_the_checkpoint_was_loaded_is_read_at_the_start(checkpoint, tmp_path):
    write(tmp_path, checkpoint.version, SHIFTS)
    assert LevelWatch(tmp_path, checkpoint, lambda: 5000).now() == SHIFTS


@pytest.mark.parametrize("broken", ["another model's", "damaged", "gone"])
def test_what_is_broken_leaves_the_levels_of_before_in_force_and_is_said_once(
    watch, checkpoint, tmp_path, capsys, broken
):
    write(tmp_path, checkpoint.version, SHIFTS)
    watch.look()
    if broken == "another model's":
        write(tmp_path, "another", {"1h": 0.1})
    elif broken == "damaged":
        (tmp_path / LEVEL_FILE).write_text("{")
    else:
        (tmp_path / LEVEL_FILE).unlink()
    for _ in range(2):
        watch.look()
    assert watch.now() == SHIFTS
    assert not watch.is_current
    assert capsys.readouterr().out.count("the levels of before stay in force") == 1


def test_the_model_that_ships_has_no_level(checkpoint):
    assert LevelWatch(None, checkpoint, lambda: 5000).now() == {}

from collections import Counter
from collections.abc import Iterable

from hypothesis import given
from hypothesis import strategies as st

from cartcast.demo.comparison import DeadLetter, compare

IDS = st.lists(st.sampled_from("abcdef"), max_size=12)


def letters(event_ids: Iterable[str]) -> list[DeadLetter]:
    """A dead letter each, of different records."""
    return [DeadLetter(("events", "0", str(offset)), event_id) for offset, event_id in enumerate(event_ids)]


def test_everything_once_is_exact() -> None:
    found = compare("abc", [], "cab", "bca")
    assert (found.events, found.accepted, found.scored, found.stored) == (3, 3, 3, 3)
    assert found.is_exact


def test_a_repeated_event_is_a_duplicate_and_not_lost() -> None:
    found = compare("aab", [], "ab", "ab")
    assert (found.events, found.accepted, found.duplicates, found.lost) == (3, 2, 1, 0)


def test_a_dead_letter_is_neither_accepted_nor_lost() -> None:
    found = compare("ab", letters("b"), "a", "a")
    assert (found.accepted, found.dead_letters, found.lost) == (1, 1, 0)


def test_of_a_refused_event_each_record_has_a_dead_letter() -> None:
    found = compare("abb", letters("bb"), "a", "a")
    assert found.is_exact
    assert (found.accepted, found.dead_letters, found.duplicates) == (1, 2, 1)


def test_a_dead_letter_that_is_missing_is_lost() -> None:
    assert compare("abb", letters("b"), "a", "a").lost == 1
    assert compare("ab", [], "a", "a").lost == 1


def test_a_second_dead_letter_of_the_same_record_is_duplicated() -> None:
    (letter,) = letters("b")
    found = compare("ab", [letter, letter, letter], "a", "a")
    assert (found.dead_letters, found.duplicated, found.lost) == (3, 2, 0)
    assert not found.is_exact


def test_a_score_that_is_no_row_is_a_dead_letter_of_another_topic() -> None:
    refused_by_sink = DeadLetter(("scores", "0", "7"), "b")
    assert compare("ab", [refused_by_sink], "ab", "a").is_exact


def test_a_dead_letter_of_an_event_that_nobody_sent_is_unknown() -> None:
    found = compare("a", letters("x"), "a", "a")
    assert (found.unknown, found.is_exact) == (1, False)


def test_an_event_without_score_or_without_row_is_lost_once() -> None:
    assert compare("abcd", [], "ab", "ac").lost == 3


def test_a_second_score_and_a_second_row_are_duplicated() -> None:
    found = compare("ab", [], "aab", "abbb")
    assert found.duplicated == 3
    assert not found.is_exact


def test_a_score_of_an_event_that_nobody_sent_is_unknown() -> None:
    found = compare("a", [], "ax", "a")
    assert found.unknown == 1
    assert not found.is_exact


@given(produced=IDS, dead=IDS, scored=IDS, stored=IDS, repeated=st.booleans())
def test_exact_means_that_of_each_event_each_result_is_there_once(
    produced: list[str], dead: list[str], scored: list[str], stored: list[str], repeated: bool
) -> None:
    accepted, refused = set(produced) - set(dead), set(dead) - (set(scored) & set(stored))
    once = all(Counter(scored)[event] == Counter(stored)[event] == 1 for event in accepted)
    told = all(Counter(dead)[event] >= Counter(produced)[event] for event in refused)
    repeats = max([0, *Counter(scored).values(), *Counter(stored).values()]) > 1 or (repeated and dead)
    strangers = (set(scored) | set(stored) | set(dead)) - set(produced)
    found = compare(produced, letters(dead) * (2 if repeated else 1), scored, stored)
    assert found.is_exact == (once and told and not repeats and not strangers)

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from cartcast.demo.comparison import compare

IDS = st.lists(st.sampled_from("abcdef"), max_size=12)


def test_everything_once_is_exact() -> None:
    found = compare("abc", "", "cab", "bca")
    assert (found.events, found.accepted, found.scored, found.stored) == (3, 3, 3, 3)
    assert found.is_exact


def test_a_repeated_event_is_a_duplicate_and_not_lost() -> None:
    found = compare("aab", "", "ab", "ab")
    assert (found.events, found.accepted, found.duplicates, found.lost) == (3, 2, 1, 0)


def test_a_dead_letter_is_neither_accepted_nor_lost() -> None:
    found = compare("ab", "b", "a", "a")
    assert (found.accepted, found.dead_letters, found.lost) == (1, 1, 0)


def test_an_event_without_score_or_without_row_is_lost_once() -> None:
    assert compare("abcd", "", "ab", "ac").lost == 3


def test_a_second_score_and_a_second_row_are_duplicated() -> None:
    found = compare("ab", "", "aab", "abbb")
    assert found.duplicated == 3
    assert not found.is_exact


def test_a_score_of_an_event_that_nobody_sent_is_unknown() -> None:
    found = compare("a", "", "ax", "a")
    assert found.unknown == 1
    assert not found.is_exact


@given(produced=IDS, dead=IDS, scored=IDS, stored=IDS)
def test_exact_means_each_accepted_event_has_one_score_and_one_row(
    produced: list[str], dead: list[str], scored: list[str], stored: list[str]
) -> None:
    accepted = set(produced) - set(dead)
    once = all(Counter(scored)[event] == Counter(stored)[event] == 1 for event in accepted)
    repeats = max([0, *Counter(scored).values(), *Counter(stored).values()]) > 1
    strangers = (set(scored) | set(stored)) - set(produced)
    assert compare(produced, dead, scored, stored).is_exact == (once and not repeats and not strangers)

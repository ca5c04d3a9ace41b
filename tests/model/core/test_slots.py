"""The hash table of shoppers, against a dictionary."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from model.core.hashing import seeded_hash
from model.core.slots import Distinct, Slots

USERS = st.lists(st.binary(max_size=24), max_size=60)


@given(USERS)
def test_the_distinct_are_those_of_a_dictionary_in_order(users):
    distinct = Distinct.of(users)
    assert list(distinct.strings) == list(dict.fromkeys(users))
    assert [distinct.strings[place] for place in distinct.index.tolist()] == users


@given(st.lists(USERS, max_size=8))
def test_each_shopper_keeps_the_slot_that_the_first_appearance_gave(groups):
    slots, known = Slots(), dict[bytes, int]()
    for users in groups:
        distinct = Distinct.of(users)
        found = [known.get(user, -1) for user in distinct.strings]
        assert slots.find(distinct).tolist() == found
        for user in distinct.strings:
            known.setdefault(user, len(known))
        assert slots.add(distinct, slots.find(distinct)).tolist() == [known[user] for user in distinct.strings]
    assert (len(slots), list(slots.users)) == (len(known), list(known))


STEPS = st.lists(st.tuples(st.sampled_from(["add", "remove", "compact"]), st.lists(st.integers(0, 40), max_size=30)))


@given(STEPS)
def test_who_is_removed_is_gone_and_the_others_keep_their_slots(steps):
    slots, known = Slots(), dict[bytes, int]()
    names = [b"u%d" % number for number in range(41)]
    for step, numbers in steps:
        users = Distinct.of([names[number] for number in numbers])
        users.hashes[:] = (users.hashes % 5 + 2045) << 1  # in the last and first of 2048 places
        found = slots.find(users)
        assert found.tolist() == [known.get(user, -1) for user in users.strings]
        if step == "add":
            known.update(zip(users.strings, slots.add(users, found).tolist(), strict=True))
        elif step == "remove":
            slots.remove(found[found >= 0])
            for user in users.strings:
                known.pop(user, None)
        else:
            slots.compact()
        assert len(slots) == len(known) == len(set(known.values()))
        assert {user: slot for slot, user in enumerate(slots.users) if user is not None} == known


def test_any_number_of_shoppers_is_found_again():
    slots, users = Slots(), [b"shopper-%d" % number * (number % 9) for number in range(20_000)]
    for first in range(0, len(users), 3000):
        some = Distinct.of(users[first : first + 3000])
        slots.add(some, slots.find(some))
    distinct = Distinct.of(users)
    assert [slots.users[slot] for slot in slots.find(distinct).tolist()] == list(distinct.strings)


def test_ids_of_one_hash_are_told_apart():
    users = [b"a", b"b", b"ab", b""]
    slots, distinct = Slots(), Distinct.of(users)
    distinct.hashes[:] = 5
    assert slots.add(distinct, slots.find(distinct)).tolist() == [0, 1, 2, 3]
    assert slots.find(distinct).tolist() == [0, 1, 2, 3]


def test_one_id_is_found_as_many_are():
    users = [b"%d" % number for number in range(2000)] + [b"", b"x" * 300]
    slots, distinct = Slots(), Distinct.of(users)
    slots.add(distinct, slots.find(distinct))
    assert [slots.slot(user) for user in users] == list(range(len(users)))
    assert slots.slot(b"2000") == -1


def test_the_hash_is_seeded_and_sees_every_byte():
    text = np.frombuffer(b"0123456789abcdefghi", np.uint8)
    hashes = {
        seeded_hash(text, start, end, np.uint64(seed)) for start in range(4) for end in range(4, 19) for seed in (1, 2)
    }
    assert len(hashes) == 4 * 15 * 2
    for place in range(len(text)):
        other = text.copy()
        other[place] ^= 1
        assert seeded_hash(other, 0, len(text), np.uint64(1)) != seeded_hash(text, 0, len(text), np.uint64(1))

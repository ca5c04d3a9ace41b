"""What the forget topic says: requests that name nobody, and what was done about them."""

import hashlib

import pytest

from service.forget import ROWS, STATES, Done, Request, Requests, digest, encoded, request_of

ASKED = encoded(Request("r", 7))


def test_a_request_is_keyed_by_the_sha256_of_the_id():
    assert digest(b"u") == hashlib.sha256(b"u").hexdigest().encode()
    assert request_of(digest(b"u"), ASKED) == (digest(b"u"), Request("r", 7))


@pytest.mark.parametrize(
    ("key", "value"),
    [(None, ASKED), (b"u", ASKED), (digest(b"u"), None), (digest(b"u"), b"{"), (digest(b"u"), b'{"request": 1}')],
)
def test_what_is_no_request_is_left_out(key, value):
    requests = Requests()
    requests.read(0, key, value)
    assert (requests.count, requests.pending(STATES)) == (0, 0)


def test_what_is_pending_and_what_was_removed_are_told_by_part_and_request():
    requests, other = Requests(), encoded(Request("other", 8))
    for offset, value in ((0, ASKED), (1, ASKED), (4, other)):
        requests.read(offset, digest(b"%d" % offset), value)
    requests.read(2, STATES.encode(), encoded(Done(1, {"r": {STATES: 1}}, 9)))
    requests.read(3, ROWS.encode(), encoded(Done(0, {"r": {"scores": 5, "recommendations": 2}}, 9)))
    requests.read(5, STATES.encode(), b"{")
    assert (requests.count, requests.pending(STATES), requests.pending(ROWS)) == (3, 1, 2)
    assert (requests.pending(STATES, "r"), requests.pending(ROWS, "r"), requests.pending(ROWS, "none")) == (0, 1, 0)
    requests.read(6, ROWS.encode(), encoded(Done(4, {"r": {"scores": 3}, "other": {"scores": 4}}, 9)))
    assert requests.pending(ROWS) == 0
    assert requests.removed(ROWS, "r") == {"scores": 8, "recommendations": 2}
    assert (requests.removed(ROWS, "other"), requests.removed(STATES, "other")) == ({"scores": 4}, {})


def test_a_joined_id_that_is_asked_for_by_several_or_again_after_a_crash_is_counted_once():
    requests = Requests()
    for offset in range(2):
        requests.read(offset, digest(b"a"), encoded(Request("r", 7, joined=True)))
    requests.read(2, digest(b"u"), ASKED)
    assert (requests.joined["r"], requests.count) == ({digest(b"a")}, 2)

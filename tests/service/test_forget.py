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
    assert (requests.asked, requests.said) == ({}, [])


def test_what_is_pending_is_told_by_part():
    requests = Requests()
    for offset in (0, 1, 4):
        requests.read(offset, digest(b"%d" % offset), ASKED)
    requests.read(2, STATES.encode(), encoded(Done(1, {STATES: 1}, 9)))
    requests.read(3, ROWS.encode(), encoded(Done(0, {"scores": 5, "recommendations": 2}, 9)))
    requests.read(5, STATES.encode(), b"{")
    assert (requests.pending(STATES), requests.pending(ROWS)) == (1, 2)
    requests.read(6, ROWS.encode(), encoded(Done(4, {"scores": 3}, 9)))
    assert requests.pending(ROWS) == 0
    assert requests.removed(ROWS, "r") == {"scores": 8, "recommendations": 2}
    assert (requests.removed(ROWS, "other"), requests.pending(STATES, "other")) == ({}, 0)
    assert requests.pending(STATES, "r") == 1

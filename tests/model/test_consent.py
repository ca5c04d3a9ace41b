"""Which rows of a history may be learnt from; which wishes allow what is tested with the worker's records."""

import dataclasses

from model.consent import CONSENT, DEFAULT_CONSENT
from model.events import Event
from model.formats import FORMATS
from model.validate import BadRow


def test_an_event_that_is_not_allowed_leaves_a_bad_row_without_content_in_its_place():
    agrees, refuses = (
        b'{"event_id":"1","user_id":"ann","type":"view","ts":1767571200000,"context":{"consent":%b}}' % wish
        for wish in (b"true", b"false")
    )
    rows = list(DEFAULT_CONSENT.allowed(FORMATS["cartcast"](iter([(1, agrees), (2, b"damaged"), (3, refuses)]))))
    assert [type(row) for row in rows] == [Event, BadRow, BadRow]
    assert rows[1].raw == b"damaged"
    assert rows[2].reason == CONSENT
    assert "ann" not in str(dataclasses.astuple(rows[2]))

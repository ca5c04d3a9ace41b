import hashlib
import hmac

import pytest

from service.signatures import Signatures

VALUE = b'{"user_id":"u"}'
OLD, NEW = "the key of last year", "the key of this year"


def test_a_signature_is_the_hmac_of_the_value():
    expected = hmac.new(NEW.encode(), VALUE, hashlib.sha256).hexdigest().encode()
    assert Signatures([NEW, OLD]).of(VALUE) == expected


@pytest.mark.parametrize("keys", [[NEW], [NEW, OLD], [OLD, NEW]])
def test_what_any_of_the_keys_signed_is_accepted(keys):
    assert Signatures(keys).accept(VALUE, Signatures([NEW]).of(VALUE))


@pytest.mark.parametrize(
    "signature", [None, b"", b"\xff", b"0" * 64, Signatures([OLD]).of(VALUE), Signatures([NEW]).of(VALUE + b" ")]
)
def test_what_no_key_signed_is_not(signature):
    assert not Signatures([NEW]).accept(VALUE, signature)
    assert Signatures().accept(VALUE, signature)

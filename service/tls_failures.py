"""Why TLS failed, in words that say what to do: the same for Kafka and ClickHouse."""

import ssl
from collections.abc import Iterator
from typing import Final

_EXPIRED, _NOT_YET_VALID, _OTHER_NAME, _OTHER_ADDRESS = 10, 9, 62, 64
"""Of OpenSSL's X509_V_ERR_*; most of the others mean that no known authority has signed."""
NO_TLS: Final = "does not speak TLS there: correct the port, or leave TLS out"
_SAID: Final = (
    (
        ("CERTIFICATE_REQUIRED", "HANDSHAKE_FAILURE"),
        "asks for a client's certificate: set {variables}SSL_CERTIFICATE_LOCATION",
    ),
    (("ALERT",), "refuses the client's certificate ({said}): correct {variables}SSL_CERTIFICATE_LOCATION"),
    (("WRONG_VERSION", "RECORD_LAYER"), NO_TLS),
    (
        ("PEM", "ENCRYPTED", "DECRYPT", "KEY"),
        (
            "cannot be asked: the client's certificate does not open with its key ({said}): correct "
            "{variables}SSL_CERTIFICATE_LOCATION, {variables}SSL_KEY_LOCATION and {variables}SSL_KEY_PASSWORD"
        ),
    ),
    (("",), "fails in TLS ({said}): correct the {variables}SSL_ settings"),
)
"""What OpenSSL says, and what it means; the first that fits."""


def tls_failure(failure: BaseException, variables: str) -> str | None:
    """Return what is wrong with TLS, to go on behind the server's name; None if something else failed.

    That a server only hung up says nothing: ask with `service.tls_probe`.

    `variables` is what the names of this server's settings begin with, such as `CARTCAST_KAFKA__`.
    """
    error = next((each for each in _causes(failure) if isinstance(each, ssl.SSLError)), None)
    if error is None or isinstance(error, ssl.SSLEOFError):
        return None
    if isinstance(error, ssl.SSLCertVerificationError):
        return _not_trusted(error, variables)
    reason = (error.reason or str(error.args[-1] if error.args else error)).upper().replace(" ", "_")
    words = next(words for signs, words in _SAID if any(sign in reason for sign in signs))
    return words.format(variables=variables, said=reason.replace("_", " ").lower().partition(" ( ssl.c")[0])


def _not_trusted(error: ssl.SSLCertVerificationError, variables: str) -> str:
    if error.verify_code == _EXPIRED:
        return "shows a certificate that has expired: renew it there"
    if error.verify_code == _NOT_YET_VALID:
        return "shows a certificate that is not valid yet: correct this machine's clock, or renew it there"
    if error.verify_code in (_OTHER_NAME, _OTHER_ADDRESS):
        return "shows a certificate for another name: reach it under the name in its certificate, or renew it there"
    return (
        f"shows a certificate that no known authority has signed ({error.verify_message}): set "
        f"{variables}SSL_CA_LOCATION to the file of the authority that has"
    )


def _causes(failure: BaseException) -> Iterator[BaseException]:
    """Yield an exception and what it was made of; urllib3 keeps causes as `reason` and as arguments."""
    waiting, seen = [failure], set[int]()
    while waiting:
        each = waiting.pop(0)
        if id(each) in seen:
            continue
        seen.add(id(each))
        yield each
        inside = (each.__cause__, each.__context__, getattr(each, "reason", None), *each.args)
        waiting += [other for other in inside if isinstance(other, BaseException)]

"""TLS for every client: when certificates expire, what a failure means in words, and asking a server what is wrong.

The words are the same for Kafka and ClickHouse.
"""

import re
import socket
import ssl
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from service.errors import CertificateError

_PEM: Final = re.compile(r"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)
_SEQUENCE, _EXPLICIT_VERSION, _UTC_TIME = 0x30, 0xA0, 0x17


def check_certificate(setting: str, path: Path) -> datetime:
    """Return when what the PEM file is for expires; raises CertificateError that names the setting.

    A client's own certificate comes first in its file; of many authorities one may have expired, but not all.
    """
    found = expiries(setting, path)
    expires = max(found) if setting.endswith("ca_location") else found[0]
    if expires <= datetime.now(UTC):
        raise CertificateError(
            f"the certificate in {path} ({setting}) has expired on {expires:%Y-%m-%d}: put a renewed one there"
        )
    return expires


def check_readable(setting: str, path: Path) -> None:
    """Raise CertificateError if the file cannot be read."""
    _read(setting, path)


def expiries(setting: str, path: Path) -> list[datetime]:
    """Return `notAfter` of every certificate in the PEM file, at least one; raises CertificateError."""
    try:
        found = [not_after(ssl.PEM_cert_to_DER_cert(pem)) for pem in _PEM.findall(_read(setting, path))]
    except (ValueError, IndexError):
        found = []
    if not found:
        raise CertificateError(f"{path} ({setting}) holds no certificate in PEM format: correct the setting")
    return found


def _read(setting: str, path: Path) -> str:
    try:
        return path.read_text(encoding="ascii", errors="replace")
    except OSError as failure:
        reason = (failure.strerror or "").lower()
        raise CertificateError(f"{path} ({setting}) cannot be read ({reason}): correct the setting") from None


def not_after(certificate: bytes) -> datetime:
    """Return the end of validity of a DER certificate (RFC 5280, section 4.1); raises ValueError or IndexError.

    TBSCertificate is: version (optional), serial number, signature, issuer, validity (notBefore, notAfter) ...
    """
    _, to_be_signed, _ = _element(certificate)
    _, fields, _ = _element(to_be_signed)
    tag, _, after_version = _element(fields)
    rest = after_version if tag == _EXPLICIT_VERSION else fields
    for _skipped in ("serial number", "signature", "issuer"):
        _, _, rest = _element(rest)
    tag, validity, _ = _element(rest)
    if tag != _SEQUENCE:
        raise ValueError("no validity")
    _, _, end = _element(validity)
    tag, written, _ = _element(end)
    form = "%y%m%d%H%M%SZ" if tag == _UTC_TIME else "%Y%m%d%H%M%SZ"
    return datetime.strptime(written.decode("ascii"), form).replace(tzinfo=UTC)


def _element(data: bytes) -> tuple[int, bytes, bytes]:
    """Split DER into the first element's tag and content, and what follows it."""
    tag, length, begin = data[0], data[1], 2
    if length & 0x80:
        count = length & 0x7F
        length, begin = int.from_bytes(data[2 : 2 + count], "big"), 2 + count
    return tag, data[begin : begin + length], data[begin + length :]


_EXPIRED, _NOT_YET_VALID, _OTHER_NAME, _OTHER_ADDRESS = 10, 9, 62, 64
"""Of OpenSSL's X509_V_ERR_*; most of the others mean that no known authority has signed."""
NO_TLS: Final = "does not speak TLS there: correct the port, or leave TLS out"
_MEANINGS: Final = (
    (
        ("CERTIFICATE_REQUIRED", "HANDSHAKE_FAILURE"),
        "asks for a client's certificate: set {variables}SSL_CERTIFICATE_LOCATION",
    ),
    (("ALERT",), "refuses the client's certificate ({reason}): correct {variables}SSL_CERTIFICATE_LOCATION"),
    (("WRONG_VERSION", "RECORD_LAYER"), NO_TLS),
    (
        ("PEM", "ENCRYPTED", "DECRYPT", "KEY"),
        (
            "cannot be asked: the client's certificate does not open with its key ({reason}): correct "
            "{variables}SSL_CERTIFICATE_LOCATION, {variables}SSL_KEY_LOCATION and {variables}SSL_KEY_PASSWORD"
        ),
    ),
    (("",), "fails in TLS ({reason}): correct the {variables}SSL_ settings"),
)
"""Parts of OpenSSL's reasons, and what they mean; the first that fits counts."""


def tls_failure(failure: BaseException, variables: str) -> str | None:
    """Return what is wrong with TLS, to go on behind the server's name; None if something else failed.

    A server that only hung up has given no reason: ask it with `why_tls_fails`.

    `variables` is what the names of this server's settings begin with, such as `CARTCAST_KAFKA__`.
    """
    error = next((each for each in _causes(failure) if isinstance(each, ssl.SSLError)), None)
    if error is None or isinstance(error, ssl.SSLEOFError):
        return None
    if isinstance(error, ssl.SSLCertVerificationError):
        return _not_trusted(error, variables)
    reason = (error.reason or str(error.args[-1] if error.args else error)).upper().replace(" ", "_")
    words = next(words for signs, words in _MEANINGS if any(sign in reason for sign in signs))
    return words.format(variables=variables, reason=reason.replace("_", " ").lower().partition(" ( ssl.c")[0])


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


CONNECT_SECONDS: Final = 2.0
_ALERT_SECONDS: Final = 0.3
"""A server that asks for a client's certificate says so only after the handshake, since TLS 1.3."""


def client_context(
    *,
    ca_cert: str | None = None,
    client_cert: str | None = None,
    client_cert_key: str | None = None,
    key_password: str = "",
    verify: bool = True,
) -> ssl.SSLContext:
    """Return what trusts the authorities of one file, or the system's, and shows a certificate; raises OSError."""
    context = ssl.create_default_context(cafile=ca_cert)
    if not verify:
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    if client_cert:
        context.load_cert_chain(client_cert, client_cert_key, lambda: key_password)
    return context


def why_tls_fails(host: str, port: int, context: ssl.SSLContext, variables: str) -> str | None:
    """Return what is wrong with TLS there, as `tls_failure` does; None if nothing is, or nobody answers."""
    try:
        with (
            socket.create_connection((host, port), timeout=CONNECT_SECONDS) as plain,
            context.wrap_socket(plain, server_hostname=host) as encrypted,
        ):
            encrypted.settimeout(_ALERT_SECONDS)
            if not encrypted.recv(1):
                return f"hangs up: it may ask for another client's certificate: set {variables}SSL_CERTIFICATE_LOCATION"
    except ssl.SSLEOFError:
        return NO_TLS
    except (OSError, ValueError) as failure:
        return tls_failure(failure, variables)
    return None

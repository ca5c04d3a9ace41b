"""When certificates expire: the one field of X.509 that is read before a connection is tried."""

import re
import ssl
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

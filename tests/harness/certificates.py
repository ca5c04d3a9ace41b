"""Certificates that a test makes: an authority's, a server's, a client's, and one that has expired."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import trustme
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

KEY_PASSWORD = "s3cret-key-password"  # noqa: S105 - nobody's
LOOPBACK_NAMES = ("127.0.0.1", "localhost")


class Authority:
    """A certificate authority with its files in one directory."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self._directory = directory
        self._authority = trustme.CA()
        self.ca = directory / "ca.pem"
        self._authority.cert_pem.write_to_path(self.ca)

    def issue(self, name: str, identities: Sequence[str] = LOOPBACK_NAMES, *, days: float = 30) -> Path:
        """Write one PEM file with key and certificates; with `days` below zero it has expired."""
        now = datetime.now(UTC)
        begin, end = now - timedelta(days=60), now + timedelta(days=days)
        issued = self._authority.issue_cert(*identities, not_before=begin, not_after=end)
        path = self._directory / f"{name}.pem"
        path.write_bytes(_key(issued, NoEncryption()) + b"".join(each.bytes() for each in issued.cert_chain_pems))
        return path

    def issue_client(self, name: str, *, days: float = 30) -> tuple[Path, Path]:
        """Write the certificate of a client and its key, which KEY_PASSWORD opens."""
        end = datetime.now(UTC) + timedelta(days=days)
        begin = end - timedelta(days=90)
        issued = self._authority.issue_cert(f"{name}.example", not_before=begin, not_after=end)
        certificate, key = self._directory / f"{name}.crt", self._directory / f"{name}.key"
        issued.cert_chain_pems[0].write_to_path(certificate)
        key.write_bytes(_key(issued, BestAvailableEncryption(KEY_PASSWORD.encode())))
        return certificate, key


def _key(issued: trustme.LeafCert, encryption: KeySerializationEncryption) -> bytes:
    """Return the private key as PKCS #8, which Kafka asks for."""
    key = load_pem_private_key(issued.private_key_pem.bytes(), None)
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption)

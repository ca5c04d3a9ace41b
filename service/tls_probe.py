"""TLS as Python speaks it, to ask a server directly what is wrong when a client only says that it was cut off."""

import socket
import ssl
from typing import Final

from service.tls_failures import NO_TLS, tls_failure

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

"""TLS as Python speaks it, with librdkafka's properties: for Faust's consumer, and to find out why TLS fails."""

import socket
import ssl
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any, Final

from service.tls_failures import tls_failure
from service.tls_probe import CONNECT_SECONDS, client_context
from service.tls_probe import why_tls_fails as why_it_fails
from streams.errors import StreamError

VARIABLES: Final = "CARTCAST_KAFKA__"


def ssl_context(client_config: Mapping[str, Any]) -> ssl.SSLContext:
    """Return what trusts and shows the same certificates as librdkafka does; raises StreamError."""
    try:
        context = client_context(
            ca_cert=client_config.get("ssl.ca.location"),
            client_cert=client_config.get("ssl.certificate.location"),
            client_cert_key=client_config.get("ssl.key.location"),
            key_password=client_config.get("ssl.key.password", ""),
        )
    except OSError as failure:
        words = tls_failure(failure, VARIABLES) or f"cannot be asked: a file of certificates cannot be read ({failure})"
        raise StreamError(f"Kafka {words}") from None
    context.check_hostname = client_config.get("ssl.endpoint.identification.algorithm") != "none"
    return context


def why_tls_fails(client_config: Mapping[str, Any]) -> str | None:
    """Return what is wrong with TLS at the first broker with which something is, to go on behind `Kafka`."""
    context = ssl_context(client_config)
    for host, port in _addresses(client_config):
        if (words := why_it_fails(host, port, context, VARIABLES)) is not None:
            return f"at {host}:{port} {words}"
    return None


def listens(client_config: Mapping[str, Any]) -> bool:
    """Tell whether anything takes connections where the brokers should be."""
    for address in _addresses(client_config):
        with suppress(OSError), socket.create_connection(address, timeout=CONNECT_SECONDS):
            return True
    return False


def _addresses(client_config: Mapping[str, Any]) -> Iterator[tuple[str, int]]:
    for server in str(client_config["bootstrap.servers"]).split(","):
        host, _, port = server.strip().rpartition(":")
        if port.isdigit():
            yield host.rpartition("//")[2].strip("[]"), int(port)

"""A real Kafka that lets in only who proves who they are: TLS with client certificates, and SASL over TLS."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from confluent_kafka.admin import AdminClient, ScramCredentialInfo, ScramMechanism, UserScramCredentialUpsertion

from cartcast.local.kafka import KafkaNode
from cartcast.local.kafka_jars import kafka_jars
from cartcast.local.maven import default_cache
from cartcast.local.ports import LOOPBACK, claimed_port
from cartcast.local.processes import Children
from service.kafka_settings import KafkaSettings
from tests.harness.certificates import KEY_PASSWORD, Authority

USER = "shop"
PASSWORD = "s3cret-sasl-password"  # noqa: S105 - nobody's
CLIENT_SECRET = "s3cret-of-the-client"  # noqa: S105 - nobody's
MECHANISMS = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER")
_JAAS = {
    "plain": f'org.apache.kafka.common.security.plain.PlainLoginModule required user_{USER}="{PASSWORD}";',
    "scram-sha-256": "org.apache.kafka.common.security.scram.ScramLoginModule required;",
    "scram-sha-512": "org.apache.kafka.common.security.scram.ScramLoginModule required;",
    "oauthbearer": "org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginModule required;",
}


@dataclass(frozen=True)
class SecureKafka:
    """A running broker: its addresses by listener, and who signed its certificate."""

    plain: str
    mutual: str
    sasl: str
    authority: Authority


@contextmanager
def secure_kafka(directory: Path) -> Iterator[SecureKafka]:
    """Start the broker; leaving the block stops it."""
    authority = Authority(directory / "certificates")
    server = authority.issue("broker", [LOOPBACK])
    with (
        claimed_port() as plain,
        claimed_port() as controller,
        claimed_port() as mutual,
        claimed_port() as sasl,
        Children(directory / "logs") as children,
    ):
        properties = _properties(plain, controller, mutual, sasl) | _tls(server, authority.ca)
        jars = kafka_jars(default_cache(), lambda _: None)
        node = KafkaNode(directory / "kafka", jars, plain, controller, properties)
        node.wait_until_ready(node.start(children))
        _add_scram_user(node.bootstrap_servers)
        yield SecureKafka(*(f"{LOOPBACK}:{port}" for port in (plain, mutual, sasl)), authority)


class SettingsOf:
    """The settings that lead to the broker in one of the ways."""

    def __init__(self, broker: SecureKafka, tokens: str) -> None:
        self._broker = broker
        self._tokens = tokens

    def __call__(self, way: str, **others: object) -> KafkaSettings:
        values: dict[str, object] = {"ssl_ca_location": self._broker.authority.ca}
        if way == "mutual TLS":
            certificate, key = self._broker.authority.issue_client("shop")
            values |= {"bootstrap_servers": self._broker.mutual, "security_protocol": "SSL"}
            values |= {"ssl_certificate_location": certificate, "ssl_key_location": key}
            values |= {"ssl_key_password": KEY_PASSWORD}
            return KafkaSettings.model_validate(values | others)
        values |= {"bootstrap_servers": self._broker.sasl, "security_protocol": "SASL_SSL", "sasl_mechanism": way}
        if way == "OAUTHBEARER":
            values |= {"oauth_token_url": self._tokens, "oauth_client_id": USER, "oauth_scope": "kafka"}
            values |= {"oauth_client_secret": CLIENT_SECRET, "oauth_ca_location": self._broker.authority.ca}
        else:
            values |= {"sasl_username": USER, "sasl_password": PASSWORD}
        return KafkaSettings.model_validate(values | others)

    def variables(self, way: str) -> dict[str, str]:
        """Return the same as environment variables."""
        return variables_of(self(way))


def variables_of(settings: KafkaSettings) -> dict[str, str]:
    """Return settings as environment variables."""
    set_ones = settings.model_dump(exclude_unset=True)
    return {f"CARTCAST_KAFKA__{name.upper()}": _plainly(value) for name, value in set_ones.items()}


def _plainly(value: object) -> str:
    return str(value.get_secret_value() if hasattr(value, "get_secret_value") else value)


def _properties(plain: int, controller: int, mutual: int, sasl: int) -> dict[str, object]:
    listeners = {"PLAINTEXT": plain, "MUTUAL": mutual, "SASL": sasl}
    addresses = ",".join(f"{name}://{LOOPBACK}:{port}" for name, port in listeners.items())
    return {
        "listeners": f"{addresses},CONTROLLER://{LOOPBACK}:{controller}",
        "advertised.listeners": addresses,
        "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,MUTUAL:SSL,SASL:SASL_SSL",
        "listener.name.mutual.ssl.client.auth": "required",
        "listener.name.sasl.sasl.enabled.mechanisms": ",".join(MECHANISMS),
        # Whoever comes in without a name may do all, others what nothing forbids.
        "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        "super.users": "User:ANONYMOUS",
        "allow.everyone.if.no.acl.found": "true",
        **{f"listener.name.sasl.{name}.sasl.jaas.config": module for name, module in _JAAS.items()},
        "listener.name.sasl.oauthbearer.sasl.server.callback.handler.class": "org.apache.kafka.common.security."
        "oauthbearer.internals.unsecured.OAuthBearerUnsecuredValidatorCallbackHandler",
    }


def _tls(server: Path, ca: Path) -> dict[str, object]:
    return {
        "ssl.keystore.type": "PEM",
        "ssl.keystore.location": server,
        "ssl.truststore.type": "PEM",
        "ssl.truststore.location": ca,
    }


def _add_scram_user(bootstrap_servers: str) -> None:
    admin = AdminClient({"bootstrap.servers": bootstrap_servers, "log_level": 0})
    for mechanism in (ScramMechanism.SCRAM_SHA_256, ScramMechanism.SCRAM_SHA_512):
        user = UserScramCredentialUpsertion(USER, ScramCredentialInfo(mechanism, 4096), PASSWORD.encode())
        admin.alter_user_scram_credentials([user])[USER].result()

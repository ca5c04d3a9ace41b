"""Certificates say when they expire before anybody connects with them."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from service.errors import CertificateError
from service.tls import check_certificate, expiries
from tests.harness.certificates import Authority

CA, OWN = "kafka.ssl_ca_location", "kafka.ssl_certificate_location"


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@pytest.mark.parametrize("days", [1, 400, 40_000])  # from the year 2050 on the time is written in another form
def test_the_end_of_a_certificate_is_read(authority: Authority, days: int) -> None:
    certificate, _ = authority.issue_client("shop", days=days)
    assert abs(check_certificate(OWN, certificate) - datetime.now(UTC) - timedelta(days=days)) < timedelta(minutes=1)


def test_a_certificate_that_has_expired_names_its_setting_file_and_day(authority: Authority) -> None:
    certificate, _ = authority.issue_client("shop", days=-2)
    day = datetime.now(UTC) - timedelta(days=2)
    with pytest.raises(CertificateError) as refused:
        check_certificate(OWN, certificate)
    assert str(refused.value) == (
        f"the certificate in {certificate} ({OWN}) has expired on {day:%Y-%m-%d}: put a renewed one there"
    )


def test_a_chain_is_as_old_as_its_first_certificate_and_a_bundle_as_its_last(authority: Authority) -> None:
    expired, _ = authority.issue_client("shop", days=-1)
    both = expired.with_name("both.pem")
    both.write_bytes(expired.read_bytes() + authority.ca.read_bytes())
    assert len(expiries(CA, both)) == 2
    assert check_certificate(CA, both) > datetime.now(UTC)
    with pytest.raises(CertificateError, match="has expired"):
        check_certificate(OWN, both)


@pytest.mark.parametrize(
    "content", ["", "no certificate", "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----"]
)
def test_a_file_that_holds_none_is_named(tmp_path: Path, content: str) -> None:
    path = tmp_path / "ca.pem"
    path.write_text(content)
    with pytest.raises(CertificateError, match=rf"{path} \({CA}\) holds no certificate in PEM format"):
        check_certificate(CA, path)


def test_a_file_that_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(CertificateError, match=r"nowhere \(kafka.ssl_ca_location\) cannot be read \(no such file"):
        check_certificate(CA, tmp_path / "nowhere")

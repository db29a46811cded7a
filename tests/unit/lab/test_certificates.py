"""The exchange's certificate: made with its authority, kept while it is good."""

import base64
import datetime as dt
import ssl
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtensionOID
from rich.console import Console

from k2chaos.errors import LabError
from k2chaos.system.lab.certificates import (
    CA,
    CERTIFICATE,
    CERTIFICATE_KEYS,
    KEY,
    NAMES,
    fault_of_certificates,
    make_certificates,
    pem_of,
)
from k2chaos.system.lab.clone import Stack
from k2chaos.system.lab.env_file import KEYS, ensure_env, publish_ca, read_env
from k2chaos.system.lab.up import ensure_secrets

NOW = dt.datetime(2026, 3, 1, tzinfo=dt.UTC)
DAY = dt.timedelta(days=1)
ONE, OTHER = make_certificates(NOW), make_certificates(NOW)


def certificate(values: dict[str, str]) -> x509.Certificate:
    return x509.load_pem_x509_certificate(pem_of(values[CERTIFICATE]))


def shaken_hands(values: dict[str, str], folder: Path, hostname: str) -> None:
    """Let a client that knows the authority, and a server with the pair, agree in memory."""
    pair = folder / "pair.pem"
    pair.write_bytes(pem_of(values[CERTIFICATE]) + pem_of(values[KEY]))
    server_side = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server_side.load_cert_chain(pair)
    client_side = ssl.create_default_context(cadata=pem_of(values[CA]).decode())
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = client_side.wrap_bio(to_client, to_server, server_hostname=hostname)
    server = server_side.wrap_bio(to_server, to_client, server_side=True)
    for side in (client, server, client):
        try:
            side.do_handshake()
        except ssl.SSLWantReadError:
            continue


@pytest.mark.parametrize("name", NAMES)
def test_a_client_that_knows_only_the_authority_believes_the_exchange(
    name: str, tmp_path: Path
) -> None:
    shaken_hands(make_certificates(dt.datetime.now(dt.UTC)), tmp_path, name)


def test_nobody_is_believed_under_another_name_or_by_another_authority(tmp_path: Path) -> None:
    now = dt.datetime.now(dt.UTC)
    ours, others = make_certificates(now), make_certificates(now)

    with pytest.raises(ssl.SSLCertVerificationError, match=r"doesn't match|not valid for"):
        shaken_hands(ours, tmp_path, "elsewhere")
    with pytest.raises(ssl.SSLCertVerificationError):
        shaken_hands(others | {CA: ours[CA]}, tmp_path, "localhost")


def test_it_lives_a_year_and_is_made_anew_in_its_last_month() -> None:
    assert NOW + 365 * DAY == certificate(ONE).not_valid_after_utc

    assert fault_of_certificates(ONE, NOW + 334 * DAY) is None
    assert "ends at 2027-03-01" in str(fault_of_certificates(ONE, NOW + 336 * DAY))


@pytest.mark.parametrize(
    "change, reason",
    [
        ({CA: ""}, "no LAB_CA_CERT"),
        ({KEY: "unset"}, "cannot be read"),
        ({CERTIFICATE: "%%%"}, "cannot be read"),
        ({KEY: OTHER[KEY]}, "is not the key of"),
        ({CA: OTHER[CA]}, "was not signed by|cannot be read"),
        ({CERTIFICATE: OTHER[CERTIFICATE], KEY: OTHER[KEY]}, "was not signed by|cannot be read"),
    ],
)
def test_what_does_not_belong_together_is_named(change: dict[str, str], reason: str) -> None:
    fault = fault_of_certificates(ONE | change, NOW)

    assert any(one in str(fault) for one in reason.split("|"))


def made_by_hand(*names: x509.ExtensionType) -> dict[str, str]:
    """Make a certificate that is its own authority, valid but for whom *names* says it is for."""
    key = ec.generate_private_key(ec.SECP256R1())
    own = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "exchange")])
    builder = x509.CertificateBuilder(own, own, key.public_key(), 7, NOW - DAY, NOW + 365 * DAY)
    for one in names:
        builder = builder.add_extension(one, critical=False)
    pem = builder.sign(key, SHA256()).public_bytes(Encoding.PEM)
    secret = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    pems = {CA: pem, CERTIFICATE: pem, KEY: secret}
    return {name: base64.b64encode(one).decode() for name, one in pems.items()}


# Someone's address in X.400, which nobody reads any more.
X400 = x509.UnrecognizedExtension(ExtensionOID.SUBJECT_ALTERNATIVE_NAME, b"\x30\x02\xa3\x00")


@pytest.mark.parametrize(
    "names, reason",
    [
        ((), "is not for exchange, localhost, 127.0.0.1"),
        ((x509.SubjectAlternativeName([x509.DNSName("exchange")]),), "is not for exchange, loc"),
        ((X400,), "cannot be read"),
    ],
)
def test_one_made_by_hand_that_is_not_for_the_exchange_is_replaced(
    names: tuple[x509.ExtensionType, ...], reason: str, tmp_path: Path
) -> None:
    by_hand, path = made_by_hand(*names), tmp_path / ".env"
    ensure_env(path, NOW)
    text = path.read_text(encoding="utf-8")
    for name, value in read_env(path).items():
        text = text.replace(value, by_hand.get(name, value))
    path.write_text(text, encoding="utf-8")

    assert reason in str(fault_of_certificates(read_env(path), NOW))
    assert CERTIFICATE_KEYS == ensure_env(path, NOW)
    assert fault_of_certificates(read_env(path), NOW) is None


def test_the_key_of_the_authority_is_not_kept() -> None:
    authority = x509.load_pem_x509_certificate(pem_of(ONE[CA]))
    key = load_pem_private_key(pem_of(ONE[KEY]), password=None)

    assert set(CERTIFICATE_KEYS) == set(ONE)
    assert all(b"PRIVATE" not in pem_of(ONE[name]) for name in (CA, CERTIFICATE))
    assert authority.public_key() != key.public_key()


def test_the_certificates_of_an_env_file_are_replaced_together_and_nothing_else(
    tmp_path: Path,
) -> None:
    path = tmp_path / ".env"
    ensure_env(path, NOW)
    before = read_env(path)

    assert () == ensure_env(path, NOW + 300 * DAY)
    assert CERTIFICATE_KEYS == ensure_env(path, NOW + 340 * DAY)

    after = read_env(path)
    assert set(CERTIFICATE_KEYS) == {key for key in KEYS if before[key] != after[key]}
    assert fault_of_certificates(after, NOW + 340 * DAY) is None
    assert len(KEYS) == len(path.read_text(encoding="utf-8").splitlines())


def test_an_env_file_from_before_gains_the_certificates(tmp_path: Path) -> None:
    path = tmp_path / ".env"
    old = "POSTGRES_PASSWORD=a\nLAB_S3_KEY=b\nLAB_S3_SECRET=c\nK2_API_KEY=d\n"
    path.write_text(old, encoding="utf-8")

    assert CERTIFICATE_KEYS == ensure_env(path)

    assert path.read_text(encoding="utf-8").startswith(old)


def test_what_is_public_lies_beside_the_secrets_for_everybody_to_read(tmp_path: Path) -> None:
    ensure_env(tmp_path / ".env")

    publish_ca(tmp_path / ".env", tmp_path / "lab-ca.pem")

    found = (tmp_path / "lab-ca.pem").read_bytes()
    assert pem_of(read_env(tmp_path / ".env")[CA]) == found
    assert b"PRIVATE" not in found
    assert 0o644 == (tmp_path / "lab-ca.pem").stat().st_mode & 0o777


def test_a_folder_that_takes_nothing_costs_no_secret_and_is_one_clear_error(tmp_path: Path) -> None:
    """A directory in the place of the file fails for root too, as a full disk would."""
    stack = Stack(tmp_path)
    ensure_env(stack.env_file)
    before = stack.env_file.read_bytes()
    stack.ca_file.mkdir()

    with pytest.raises(LabError, match="make room"):
        ensure_secrets(Console(), stack)

    assert before == stack.env_file.read_bytes()
    assert [".env", "lab-ca.pem"] == sorted(one.name for one in tmp_path.iterdir())

"""
The lab's own certificate authority, and the certificate of its exchange.

Both are made together and kept as long as they are good. The authority's key is never kept: it
signs one certificate and is forgotten, so nobody can make another that the lab would believe.
"""

import base64
import datetime as dt
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from cryptography.x509 import Certificate

CA: Final = "LAB_CA_CERT"
CERTIFICATE: Final = "EXCHANGE_TLS_CERT"
KEY: Final = "EXCHANGE_TLS_KEY"
CERTIFICATE_KEYS: Final = (CA, CERTIFICATE, KEY)

NAMES: Final = ("exchange", "localhost", "127.0.0.1")
"""What the exchange is called inside the lab, and on the host that publishes its port."""

_LIFE: Final = dt.timedelta(days=365)
# A lab may stay up for weeks after the `lab up` that looked.
_SPARE: Final = dt.timedelta(days=30)
# Clocks of a remote engine may be behind.
_EARLIER: Final = dt.timedelta(days=1)


def make_certificates(now: dt.datetime) -> dict[str, str]:
    """Return a new authority, certificate and key, each as one line: the base64 of its PEM."""
    import trustme

    authority = trustme.CA(organization_name="k2-lab", organization_unit_name="authority")
    leaf = authority.issue_cert(
        *NAMES,
        organization_name="k2-lab",
        organization_unit_name="exchange",
        not_before=_naive(now - _EARLIER),
        not_after=_naive(now + _LIFE),
    )
    pems = (authority.cert_pem, leaf.cert_chain_pems[0], leaf.private_key_pem)
    lines = (base64.b64encode(pem.bytes()).decode("ascii") for pem in pems)
    return dict(zip(CERTIFICATE_KEYS, lines, strict=True))


def fault_of_certificates(values: Mapping[str, str], now: dt.datetime) -> str | None:
    """Return why *values* had better be made anew, ``None`` if they are good for a month more."""
    from cryptography import x509
    from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm

    unreadable = (
        *(ValueError, TypeError, UnsupportedAlgorithm),
        *(x509.InvalidVersion, x509.DuplicateExtension, x509.UnsupportedGeneralNameType),
    )
    if missing := [name for name in CERTIFICATE_KEYS if not values.get(name)]:
        return f"no {', '.join(missing)}"
    try:
        return _fault({name: pem_of(values[name]) for name in CERTIFICATE_KEYS}, now)
    except unreadable as error:
        return f"they cannot be read: {error}"
    except InvalidSignature:
        return f"{CERTIFICATE} was not signed by {CA}"


def pem_of(line: str) -> bytes:
    """
    Return the PEM that *line* is the base64 of.

    Raises:
        ValueError: It is no base64.
    """
    return base64.b64decode(line, validate=True)


def _fault(pems: Mapping[str, bytes], now: dt.datetime) -> str | None:
    from cryptography.hazmat.primitives.serialization import load_pem_private_key
    from cryptography.x509 import load_pem_x509_certificate

    certificate = load_pem_x509_certificate(pems[CERTIFICATE])
    certificate.verify_directly_issued_by(load_pem_x509_certificate(pems[CA]))
    if load_pem_private_key(pems[KEY], password=None).public_key() != certificate.public_key():
        return f"{KEY} is not the key of {CERTIFICATE}"
    if certificate.not_valid_after_utc - now < _SPARE:
        return f"{CERTIFICATE} ends at {certificate.not_valid_after_utc:%Y-%m-%d}"
    if not set(NAMES) <= _names_of(certificate):
        return f"{CERTIFICATE} is not for {', '.join(NAMES)}"
    return None


def _names_of(certificate: "Certificate") -> set[str]:
    """Return whom *certificate* is for; nobody, if it is one made by hand that does not say."""
    from cryptography.x509 import ExtensionNotFound, SubjectAlternativeName

    try:
        found = certificate.extensions.get_extension_for_class(SubjectAlternativeName)
    except ExtensionNotFound:
        return set()
    return {str(one.value) for one in found.value}


def _naive(moment: dt.datetime) -> dt.datetime:
    """Return *moment* as trustme takes it: in UTC, and not saying so."""
    return moment.astimezone(dt.UTC).replace(tzinfo=None)

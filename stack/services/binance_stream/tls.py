"""Whom the source believes to be the exchange."""

import base64
import ssl


def client_context(authority: str) -> ssl.SSLContext:
    """Return the client's side of TLS: names are checked, and nothing older than TLS 1.2.

    Args:
        authority: The base64 of a PEM that alone is believed, or nothing for the authorities
            that the system knows.

    Raises:
        ValueError: It is no certificate.
    """
    cadata = base64.b64decode(authority, validate=True).decode("ascii") if authority else None
    try:
        context = ssl.create_default_context(cadata=cadata)
    except ssl.SSLError as error:
        message = f"no certificate: {error.reason or error}"
        raise ValueError(message) from error
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context

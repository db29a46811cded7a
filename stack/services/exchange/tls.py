"""The certificate that the feed port shows, out of variables and into a TLS context."""

import base64
import ssl
import tempfile


def server_context(certificate: str, key: str) -> ssl.SSLContext:
    """Return the server's side of TLS from two PEMs, each given as its base64.

    Raises:
        ValueError: They are no certificate and key, or not of each other.
    """
    pem = base64.b64decode(certificate, validate=True) + base64.b64decode(key, validate=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    # OpenSSL's Python face reads files only; this one is private, in /tmp, and gone at once.
    with tempfile.NamedTemporaryFile(suffix=".pem") as file:
        file.write(pem)
        file.flush()
        try:
            context.load_cert_chain(file.name)
        except ssl.SSLError as error:
            message = f"no certificate with its key: {error.reason or error}"
            raise ValueError(message) from error
    return context

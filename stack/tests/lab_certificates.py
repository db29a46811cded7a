"""Certificates as `lab up` makes them, and some it would not make."""

import base64
import datetime as dt

import trustme

NAMES = ("exchange", "localhost", "127.0.0.1")


class Authority:
    """One that can sign whatever a test needs."""

    def __init__(self) -> None:
        self._ca = trustme.CA()
        self.line = base64.b64encode(self._ca.cert_pem.bytes()).decode()

    def pair(self, *names: str, days: float = 365) -> tuple[str, str]:
        """A certificate and its key, for so many days from now."""
        now = dt.datetime.now(dt.UTC).replace(tzinfo=None)
        leaf = self._ca.issue_cert(
            *(names or NAMES),
            not_before=now - dt.timedelta(days=400),
            not_after=now + dt.timedelta(days=days),
        )
        pems = (leaf.cert_chain_pems[0], leaf.private_key_pem)
        certificate, key = (base64.b64encode(pem.bytes()).decode() for pem in pems)
        return certificate, key

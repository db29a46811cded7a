"""What this host trusts and through whom it speaks: handed on to downloads and builds."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import certifi

_NAMED_BY: Final = ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "PIP_CERT")
_SYSTEM: Final = Path("/etc/ssl/certs/ca-certificates.crt")
_PROXIES: Final = ("http_proxy", "https_proxy", "no_proxy", "ftp_proxy", "all_proxy")
_PIP: Final = ("PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL")
_LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "::1"})


def ca_bundle(environ: Mapping[str, str] = os.environ, system: Path = _SYSTEM) -> Path:
    """Return the CA bundle its environment names, else the system's, else certifi's."""
    named = (Path(environ[name]) for name in _NAMED_BY if environ.get(name))
    return next((path for path in (*named, system) if path.is_file()), Path(certifi.where()))


def build_arguments(environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    """
    Return the proxies and package indexes of the host, as build arguments.

    The proxy names are predefined in every build: they reach the commands, and neither the image
    nor its history.
    """
    names = [*_PROXIES, *(name.upper() for name in _PROXIES), *_PIP]
    return {name: environ[name] for name in names if environ.get(name)}


def build_network(arguments: Mapping[str, str]) -> str | None:
    """Return the network builds need: the host's own where a proxy listens on its loopback."""
    proxies = [value for name, value in arguments.items() if name.lower() in _PROXIES[:2]]
    local = any(urlsplit(value).hostname in _LOOPBACK for value in proxies)
    return "host" if local else None

"""What the host trusts and through whom it speaks reaches downloads and builds."""

from pathlib import Path

import certifi

from k2chaos.system.lab.trust import build_arguments, build_network, ca_bundle


def test_the_bundle_that_the_environment_names_comes_first(tmp_path: Path) -> None:
    named = tmp_path / "named.pem"
    named.touch()
    system = tmp_path / "system.pem"
    system.touch()

    assert named == ca_bundle({"REQUESTS_CA_BUNDLE": str(named)}, system)
    assert system == ca_bundle({"SSL_CERT_FILE": str(tmp_path / "absent")}, system)


def test_without_any_bundle_of_the_host_there_is_still_certifis(tmp_path: Path) -> None:
    assert Path(certifi.where()) == ca_bundle({}, tmp_path / "absent")


def test_proxies_and_package_indexes_become_build_arguments() -> None:
    environ = {"https_proxy": "http://proxy:3128", "PIP_INDEX_URL": "http://index", "HOME": "/root"}

    assert {"https_proxy": "http://proxy:3128", "PIP_INDEX_URL": "http://index"} == build_arguments(
        environ
    )


def test_builds_share_the_hosts_network_only_for_a_proxy_on_its_loopback() -> None:
    assert "host" == build_network({"http_proxy": "http://127.0.0.1:3128"})
    assert build_network({"http_proxy": "http://proxy:3128"}) is None
    assert build_network({"no_proxy": "localhost"}) is None

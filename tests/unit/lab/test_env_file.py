"""The lab's secrets: random, kept, and nobody else's to read."""

from pathlib import Path

from k2chaos.system.lab.certificates import CERTIFICATE_KEYS
from k2chaos.system.lab.env_file import KEYS, ensure_env, read_env


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


def test_a_new_file_has_every_key_and_is_private(tmp_path: Path) -> None:
    path = tmp_path / ".env"

    assert KEYS == ensure_env(path)

    assert set(KEYS) == set(read_env(path))
    assert all(len(value) >= 32 for value in read_env(path).values())
    assert 0o600 == mode(path)


def test_secrets_differ_from_file_to_file(tmp_path: Path) -> None:
    ensure_env(tmp_path / "one")
    ensure_env(tmp_path / "two")

    assert not set(read_env(tmp_path / "one").values()) & set(read_env(tmp_path / "two").values())


def test_what_is_there_is_never_changed(tmp_path: Path) -> None:
    path = tmp_path / ".env"
    ensure_env(path)
    before = path.read_text(encoding="utf-8")

    assert () == ensure_env(path)

    assert before == path.read_text(encoding="utf-8")


def test_a_missing_key_is_added_and_the_rest_kept_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / ".env"
    path.write_text("# mine\nLAB_S3_KEY=kept\nOTHER=too\nLAB_S3_SECRET=\n", encoding="utf-8")

    assert ("POSTGRES_PASSWORD", "LAB_S3_SECRET", "K2_API_KEY", *CERTIFICATE_KEYS) == ensure_env(
        path
    )

    assert path.read_text(encoding="utf-8").startswith("# mine\nLAB_S3_KEY=kept\nOTHER=too\n")
    assert "kept" == read_env(path)["LAB_S3_KEY"]
    assert read_env(path)["LAB_S3_SECRET"]


def test_a_file_that_others_could_read_is_closed(tmp_path: Path) -> None:
    path = tmp_path / ".env"
    ensure_env(path)
    path.chmod(0o644)

    ensure_env(path)

    assert 0o600 == mode(path)

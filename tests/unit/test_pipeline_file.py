"""Reading a pipeline file: every mistake by its path, all at once."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from k2chaos.errors import PipelineFileError, UsageError
from k2chaos.pipeline_file import find_pipeline_file, load_outline, load_pipeline
from tests.fakes.pipelines import ROOT, SECRETS, lab_tree


def _write(folder: Path, tree: Any) -> Path:
    path = folder / "pipeline.yaml"
    path.write_text(tree if isinstance(tree, str) else yaml.safe_dump(tree))
    return path


def test_the_labs_file_is_read_whole() -> None:
    found = load_pipeline(ROOT / "pipelines" / "lab.yaml", SECRETS)

    assert ("exchange", "topic", "table", "api") == found.pipeline.stages
    assert ("schema-registry-1", "schema-registry-2") == found.pipeline.services["registry"]
    assert set(SECRETS.values()) == set(found.secrets)
    assert "key-of-s3" == found.pipeline.table.catalog["s3.access-key-id"]  # type: ignore[union-attr]


def test_the_platforms_own_file_is_read_whole() -> None:
    secrets = {"K2_S3_KEY": "a", "K2_S3_SECRET": "b", "K2_API_KEY": "c"}

    assert ("topic", "table", "api") == load_pipeline(
        ROOT / "pipelines" / "k2.yaml", secrets
    ).pipeline.stages


def test_no_secret_is_in_the_repr(tmp_path: Path) -> None:
    found = load_pipeline(_write(tmp_path, lab_tree()), SECRETS)

    assert not [secret for secret in SECRETS.values() if secret in repr(found)]


def test_all_mistakes_come_at_once_each_with_its_path(tmp_path: Path) -> None:
    tree = lab_tree(budgets={"freshness": 3}, sampling={"api_hz": "fast"}, environment="labb")
    del tree["services"]["sink"]

    with pytest.raises(PipelineFileError) as caught:
        load_pipeline(_write(tmp_path, tree), {})

    text = str(caught.value)
    for line in (
        "budgets.freshness: unknown key",
        "sampling.api_hz: must be a valid number",
        "environment: must be 'lab', 'staging' or 'production'",
        "services.sink: is missing",
        "api.key: variable K2_API_KEY is not set",
        "table.catalog.s3.access-key-id: variable LAB_S3_KEY is not set",
    ):
        assert line in text


@pytest.mark.parametrize(
    "change, mistake",
    [
        ({"services": {"brooker": "kafka"}}, "services.brooker: must be 'exchange'"),
        ({"services": {"broker": "x", "sink": "x"}}, "services.sink: x is already the broker"),
        ({"services": "kafka"}, "services: must be a mapping"),
        ({"compose": None}, "compose: "),
        ({"name": "My Lab"}, "name: must match pattern"),
        ({"schema": 2}, "schema: must be 1"),
        ({"limits": {"longest_fault_seconds": -1}}, "limits.longest_fault_seconds: "),
        ({"colour": "blue"}, "colour: unknown key"),
        ({"exchange": {"control": "127.0.0.1:8900"}}, "exchange.control: an address such as http"),
        ({"api": {"url": "ftp://a/", "key": "k"}}, "api.url: an address such as http://"),
        ({"services": {"sink": 3}}, "services.sink: must be a list"),
        ({"services": {"sink": {"a": 1}}}, "services.sink: must be a list"),
        ({"services": {"sink": []}}, "services.sink: must have at least 1 item"),
        ({"limits": {"never": "sink"}}, "limits.never: must be a list"),
        ({"compose": 3}, "compose: must be a mapping"),
    ],
)
def test_a_mistake_is_named(change: dict[str, Any], mistake: str, tmp_path: Path) -> None:
    with pytest.raises(PipelineFileError) as caught:
        load_pipeline(_write(tmp_path, lab_tree(**change)), SECRETS)

    assert mistake in str(caught.value)


@pytest.mark.parametrize("text", ["a: [", "- a\n- b\n", "", "\t", "just text"])
def test_a_file_that_is_no_mapping_is_one_clear_error(text: str, tmp_path: Path) -> None:
    with pytest.raises(PipelineFileError):
        load_pipeline(_write(tmp_path, text), SECRETS)


def test_a_file_that_is_not_there_says_how_to_name_one(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--pipeline or K2CHAOS_PIPELINE"):
        load_pipeline(tmp_path / "none.yaml", {})


def test_the_env_file_counts_from_the_pipeline_file_and_the_environment_wins(
    tmp_path: Path,
) -> None:
    (tmp_path / "secrets.env").write_text(
        "# a comment\nLAB_S3_KEY=from-file\nLAB_S3_SECRET=from-file\nK2_API_KEY=from-file\n"
    )
    path = _write(tmp_path, lab_tree(env_file="secrets.env"))

    found = load_pipeline(path, {"K2_API_KEY": "from-environment"})

    assert found.pipeline.api is not None
    assert "from-environment" == found.pipeline.api.key
    assert {"from-file", "from-environment"} == set(found.secrets)


def test_an_outline_needs_no_variable_and_takes_those_that_are_set(tmp_path: Path) -> None:
    (tmp_path / "own.env").write_text("PROJECT=ours\n")
    tree = lab_tree(env_file="own.env", compose={"project": "${PROJECT}"})
    tree["api"] = {"url": "${API_URL}/v1", "key": "${NOBODY_KNOWS}"}
    path = _write(tmp_path, tree)

    outline = load_outline(path, {})

    assert "ours" == outline.compose.project
    assert outline.api is not None
    assert "unset/v1" == outline.api.url
    assert "theirs" == load_outline(path, {"PROJECT": "theirs"}).compose.project
    assert outline.stages == load_pipeline(ROOT / "pipelines" / "lab.yaml", SECRETS).pipeline.stages


def test_a_production_must_be_allowed_by_name(tmp_path: Path) -> None:
    path = _write(tmp_path, lab_tree(environment="production"))

    with pytest.raises(UsageError, match="K2CHAOS_ALLOW_PRODUCTION=lab"):
        load_pipeline(path, {**SECRETS, "K2CHAOS_ALLOW_PRODUCTION": "other"})
    load_pipeline(path, {**SECRETS, "K2CHAOS_ALLOW_PRODUCTION": "lab"})


@pytest.mark.parametrize(
    "option, environ, configured, expected",
    [
        ("a", {"K2CHAOS_PIPELINE": "b"}, "c", "a"),
        (None, {"K2CHAOS_PIPELINE": "b"}, "c", "b"),
        (None, {}, "c", "c"),
        (None, {}, None, "pipelines/lab.yaml"),
    ],
)
def test_the_first_that_is_named_is_chosen(
    option: str | None, environ: dict[str, str], configured: str | None, expected: str
) -> None:
    assert Path(expected) == find_pipeline_file(option, environ, configured)


@pytest.mark.parametrize(
    "change, mistake",
    [
        ({"limits": {"never": ["broker"]}}, "limits.never: broker is no service of this file"),
        ({"compose": {"project": ""}}, "compose.project: "),
        ({"services": {"broker": [["kafka"]]}}, "services.broker"),
    ],
)
def test_what_would_protect_or_prove_nothing_is_a_mistake(
    change: dict[str, Any], mistake: str, tmp_path: Path
) -> None:
    with pytest.raises(PipelineFileError) as caught:
        load_pipeline(_write(tmp_path, lab_tree(**change)), SECRETS)

    assert mistake in str(caught.value)


def test_a_registry_without_its_scheme_is_a_mistake(tmp_path: Path) -> None:
    topic = {**lab_tree()["topic"], "registry": ["http://127.0.0.1:8081", "localhost:8082"]}

    with pytest.raises(PipelineFileError, match=r"topic\.registry\[1\]: an address such as http"):
        load_pipeline(_write(tmp_path, lab_tree(topic=topic)), SECRETS)


@pytest.mark.parametrize(
    "address",
    ["http://a", "http://127.0.0.1:8900", "HTTPS://a.example/x?y=1", "http://[::1]:80",
     "http://user:secret@a:80/"],
)  # fmt: skip
def test_a_web_address_is_taken_as_it_is(address: str, tmp_path: Path) -> None:
    path = _write(tmp_path, lab_tree(exchange={"control": address}))

    exchange = load_pipeline(path, SECRETS).pipeline.exchange

    assert exchange is not None
    assert address == exchange.control


@pytest.mark.parametrize(
    "address",
    ["", "localhost", "127.0.0.1:8900", "http://", "http:///x", "http://:8000", "http://[::1",
     "http://a:99999", "http://a:80:80", " http://a", "http://a b", "http://a\n"],
)  # fmt: skip
def test_what_is_no_web_address_is_one_mistake(address: str, tmp_path: Path) -> None:
    path = _write(tmp_path, lab_tree(exchange={"control": address}))

    with pytest.raises(PipelineFileError, match=r"exchange\.control: an address") as caught:
        load_pipeline(path, SECRETS)
    assert 1 == str(caught.value).count("\n")


def test_an_address_whose_variable_is_not_set_is_one_mistake(tmp_path: Path) -> None:
    tree = lab_tree(exchange={"control": "${SCHEME}://${HOST}/x"})
    path = _write(tmp_path, tree)

    with pytest.raises(PipelineFileError) as caught:
        load_pipeline(path, {**SECRETS, "SCHEME": "http"})
    assert "HOST is not set" in str(caught.value)
    assert "an address" not in str(caught.value)
    assert load_outline(path, {**SECRETS, "SCHEME": "http"}).exchange
    with pytest.raises(PipelineFileError, match="an address"):
        load_pipeline(path, {**SECRETS, "SCHEME": "ftp", "HOST": "a"})


def test_an_anchor_used_ten_million_times_takes_no_time(tmp_path: Path) -> None:
    lines = ["a0: &a0 [x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 8)]

    with pytest.raises(PipelineFileError, match="a7: unknown key"):
        load_pipeline(_write(tmp_path, "\n".join(lines)), SECRETS)


def test_a_key_that_stands_twice_is_a_mistake_with_its_lines(tmp_path: Path) -> None:
    text = "name: a\nlimits:\n  faults_at_once: 1\n  faults_at_once: 3\nname: b\n"

    with pytest.raises(PipelineFileError) as caught:
        load_pipeline(_write(tmp_path, text), SECRETS)

    for line in (
        'line 5, column 1: the key "name" stands twice',
        'line 4, column 3: the key "faults_at_once" stands twice',
    ):
        assert line in str(caught.value)


@pytest.mark.parametrize("text", ["schema: &a [*a]", "schema: 2026-13-45", "a: &a {b: *a}"])
def test_what_yaml_allows_and_nobody_means_is_one_clear_error(text: str, tmp_path: Path) -> None:
    with pytest.raises(PipelineFileError):
        load_pipeline(_write(tmp_path, text), SECRETS)


def test_an_env_file_that_is_no_text_is_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / "binary.env").write_bytes(b"\xff\xfe=")

    with pytest.raises(PipelineFileError, match="env_file: cannot read"):
        load_pipeline(_write(tmp_path, lab_tree(env_file="binary.env")), SECRETS)

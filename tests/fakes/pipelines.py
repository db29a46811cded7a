"""The lab's pipeline file as a value, with changes."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import TypeAdapter

from k2chaos.pipeline import Pipeline

ROOT = Path(__file__).parents[2]
SECRETS = {"LAB_S3_KEY": "key-of-s3", "LAB_S3_SECRET": "secret-of-s3", "K2_API_KEY": "key-of-api"}


def lab_tree(**changes: Any) -> dict[str, Any]:
    """The parsed file, its sections replaced by *changes*."""
    tree: dict[str, Any] = yaml.safe_load((ROOT / "pipelines" / "lab.yaml").read_text())
    return {**tree, **changes}


def lab_pipeline(without: Sequence[str] = (), **changes: Any) -> Pipeline:
    """The lab's pipeline; *without* names roles that it shall not have."""
    tree = lab_tree(**changes)
    services: Mapping[str, Any] = tree["services"]
    tree["services"] = {role: names for role, names in services.items() if role not in without}
    for role, stage in (("exchange", "exchange"), ("api", "api")):
        if role in without:
            tree[stage] = None
    return TypeAdapter(Pipeline).validate_python(tree)

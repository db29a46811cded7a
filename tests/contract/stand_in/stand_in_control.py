"""A control that leaves what the configuration of the experiment tells it to leave."""

import json
import os
from pathlib import Path
from typing import Any

__all__ = ["after_experiment_control", "before_experiment_control"]


def before_experiment_control(
    context: dict[str, Any], configuration: dict[str, Any], **_kwargs: Any
) -> None:
    """Report a run folder, or a usage error, or nothing."""
    folder = Path(configuration["folder"])
    folder.mkdir(parents=True, exist_ok=True)
    usage_error = configuration.get("usage_error")
    report = {"run": None if usage_error else str(folder), "usage_error": usage_error}
    if configuration.get("reports", True):
        Path(os.environ["K2CHAOS_REPORT"]).write_text(json.dumps(report), encoding="utf-8")
    facts = {"title": context["title"], "pipeline": os.environ.get("K2CHAOS_PIPELINE")}
    (folder / "began.json").write_text(json.dumps(facts), encoding="utf-8")


def after_experiment_control(
    state: dict[str, Any], configuration: dict[str, Any], **_kwargs: Any
) -> None:
    """Write the journal and, unless told otherwise, the verdict."""
    folder = Path(configuration["folder"])
    (folder / "journal.json").write_text(json.dumps(state, default=str), encoding="utf-8")
    word = configuration.get("verdict")
    if word is None:
        return
    interrupted = state["status"] == "interrupted"
    verdict = {
        "schema": 1,
        "claim": "the claim as the verdict tells it",
        "verdict": "inconclusive" if interrupted else word,
        "reasons": [{"code": "interrupted" if interrupted else "told", "text": "as it was told"}],
        "records": {"lost": 3, "duplicated": 1},
        "freshness": {"max": 5.6},
    }
    (folder / "verdict.json").write_text(json.dumps(verdict), encoding="utf-8")

"""Run them one after the other, print a row each; exit code 1 where anything is left or unseen."""

import inspect
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from rich.table import Table

from k2chaos import actions
from k2chaos.system.engine.address import engine_address
from k2chaos.system.faults.catalogue import FAULTS, INJECTIONS
from tools.residue import oracle
from tools.residue.lab_oracle import look_at_lab
from tools.residue.places import lab_is_up, lab_on

ROOT: Final = Path(__file__).resolve().parents[2]
PATTERN: Final = ROOT / "experiments" / "source-pause.json"
CHAOS: Final = Path(sys.executable).with_name("chaos")
ASKED: Final[Mapping[str, Mapping[str, Any]]] = {
    "freeze_process": {"role": "sink", "process": "python"},
    "fail_names": {"role": "sink"},
    "reset_connections": {"role": "source", "to": "broker"},
    "limit_bandwidth": {"role": "source", "to": "broker", "kbit_per_second": 64},
    "squeeze_processes": {"role": "api"},
}
"""Of those that the project has no experiment for, where what follows does not fit."""
ANYWHERE: Final[Mapping[str, Any]] = {"role": "sink"}
BETWEEN: Final[Mapping[str, Any]] = {"role": "sink", "to": "broker"}
SHORT: Final[Mapping[str, Any]] = {"duration": 10.0}
LONGEST_SECONDS: Final = 400.0


@dataclass(frozen=True, slots=True)
class Row:
    """What one action did: its verdict's own account, and the oracle's."""

    action: str
    asked: str
    verdict: str
    faults: Sequence[Mapping[str, Any]]
    residue: Sequence[str]


def main(words: Sequence[str]) -> int:
    """Run those that are asked for, or all."""
    engine = engine_address()
    if not lab_is_up(engine):
        print("the lab is not up, or not well: bring it up (k2chaos lab up) and ask again")
        return 2
    known = [kind.replace("-", "_") for kind in (*FAULTS, *INJECTIONS)]
    if unknown := {*words} - {*known}:
        print(f"no such action: {', '.join(sorted(unknown))}; there are {', '.join(known)}")
        return 2
    drawn = Table("action", "asked", "witness", "asked / achieved (s)", "verdict", "residue")
    rows = []
    for action in words or known:
        row = _run(action, engine)
        rows.append(row)
        drawn.add_row(*_cells(row))
        print(" | ".join(_cells(row)), flush=True)
    Console(width=200).print(drawn)
    return 0 if all(row.faults and not row.residue for row in rows) else 1


def _run(action: str, engine: str) -> Row:
    tree, asked = _experiment(action)
    before = _look(engine)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"{action}.json"
        path.write_text(json.dumps(tree), encoding="utf-8")
        journals = Path(folder) / "journals"
        ran = subprocess.run(
            (CHAOS, "run", str(path)),
            check=False,
            capture_output=True,
            text=True,
            cwd=ROOT,
            env={**os.environ, "K2CHAOS_JOURNALS": str(journals)},
            timeout=LONGEST_SECONDS,
        )
        found = sorted(journals.glob("*/verdict.json"))
        said = json.loads(found[0].read_text(encoding="utf-8")) if found else {}
    faults = (*said.get("faults", ()), *said.get("injections", ()))
    reasons = "; ".join(str(one) for one in said.get("reasons", ()))
    told = ran.stderr.strip().rpartition("\n")[2]
    verdict = f"{said['verdict']} {reasons}".strip() if said else f"exit {ran.returncode}: {told}"
    return Row(action, asked, verdict, faults, oracle.differences(before, _look(engine)))


def _experiment(action: str) -> tuple[dict[str, Any], str]:
    """The project's own of this action, or one made of the pattern; and what it asks for."""
    for path in sorted((ROOT / "experiments").glob("*.json")):
        tree = json.loads(path.read_text(encoding="utf-8"))
        calls = [one["provider"] for one in tree["method"] if one["provider"]["func"] == action]
        if calls:
            return tree, _words(calls[0].get("arguments", {}))
    tree = json.loads(PATTERN.read_text(encoding="utf-8"))
    provider = tree["method"][0]["provider"]
    provider |= {"func": action, "arguments": _arguments(action)}
    return tree, _words(provider["arguments"])


def _arguments(action: str) -> dict[str, Any]:
    """What is asked for where the project has no experiment."""
    taken = inspect.signature(getattr(actions, action)).parameters
    given = {**SHORT, **(BETWEEN if "to" in taken else ANYWHERE), **ASKED.get(action, {})}
    return {name: value for name, value in given.items() if name in taken}


def _look(engine: str) -> dict[str, Any]:
    """The lab's data path, and what the kernel holds of each container that runs."""
    lab = lab_on(engine)
    seen = look_at_lab(lab)
    shown = '{{.Label "com.docker.compose.service"}} {{.ID}}'
    listed = ("ps", "--filter", f"label=com.docker.compose.project={lab.project}")
    lines = oracle.command("docker", "--host", engine, *listed, "--format", shown).splitlines()
    for service, identifier in map(str.split, lines):
        seen[service] = oracle.look(engine, identifier)
    seen["helpers"] = oracle.helpers(engine)
    return seen


def _cells(row: Row) -> tuple[str, ...]:
    witness = "; ".join(_words(one["witness"].get("injected", {})) for one in row.faults)
    seconds = ", ".join(
        f"{one['requested_seconds']:g} / {one['achieved_seconds']:.2f}"
        + (" ended early" if one["ended_early"] else "")
        for one in row.faults
    )
    residue = "; ".join(row.residue) or "none"
    return row.action, row.asked, witness or "NOT SEEN", seconds, row.verdict, residue


def _words(given: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in given.items())


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

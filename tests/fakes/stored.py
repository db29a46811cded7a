"""A run folder as a run leaves it in which all went well, to be spoilt."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from k2chaos.evidence.folder import RunFolder
from k2chaos.evidence.ledger import FaultLedger
from k2chaos.evidence.reading import read_run
from k2chaos.evidence.records import LETTERS, MALFORMED, RECORDS
from k2chaos.evidence.samples import SAMPLES_FILE, SampleWriter
from k2chaos.judge.document import verdict_document
from tests.fakes.observed import START, Watched, at, looks

RECORDS_SEEN = 6000
"""A hundred a second, from the first second on."""


def stored_run(path: Path, *stages: str) -> Path:
    """Write a run that passes: a pause of ten seconds, seen at *stages*."""
    path.mkdir(parents=True)
    seen = stages or ("exchange", "api")
    folder = RunFolder(path)
    folder.append_event("began", at=at(0))
    folder.write_json("run.json", _run(path.name, seen))
    _fault(folder)
    folder.write_json("journal.json", _journal())
    folder.write_json("window.json", {"after": {"A": 0}, "until": {"A": RECORDS_SEEN}})
    for stage in seen:
        folder.write_records(stage, _records())
    if "topic" in seen:
        folder.write_records("malformed", MALFORMED.empty_table())
        folder.write_records("letters", LETTERS.empty_table())
        folder.write_json("committed.json", {"0": RECORDS_SEEN})
    writer = SampleWriter(path / SAMPLES_FILE)
    writer.append(looks(Watched(stages=seen).quantities, np.arange(0.0, 60.0, 0.2)))
    writer.close()
    folder.append_event("ended", at=at(61))
    folder.write_json("verdict.json", verdict_document(read_run(path)))
    return path


def _run(name: str, stages: tuple[str, ...]) -> dict[str, Any]:
    return {
        "schema": 1,
        "run": name,
        "experiment": "sink-pause",
        "claim": "A pause loses nothing",
        "dry": None,
        "started": START.isoformat(),
        "pipeline": {
            "name": "lab",
            "promise": {"loss": "none", "duplicates": "none", "order": "per-key"},
            "budgets": {"freshness_seconds": 30.0, "minimum_records": 200},
            "sampling": {"exchange_hz": 5.0, "api_hz": 5.0, "table_hz": 5.0},
            "stages": list(stages),
        },
    }


def _fault(folder: RunFolder) -> None:
    ledger = FaultLedger(folder.run, "k2-lab", (folder.ledger,))
    fault = {"kind": "pause", "target": {}}
    ledger.tried("pause-1", fault, at(90), at=at(20))
    ledger.active("pause-1", {"status": "paused"}, at=at(20.1))
    ledger.healed("pause-1", {"status": "running"}, at=at(30.1))
    folder.append_event(
        "fault", at=at(30.1), fault_id="pause-1", kind="pause", role="sink", target="sink-1",
        sent_at=at(20).isoformat(), injected_at=at(20.1).isoformat(),
        healed_at=at(30.1).isoformat(), requested_seconds=10.0, achieved_seconds=10.0,
    )  # fmt: skip
    folder.append_event(
        "recovery", at=at(45), recovered=True, called_at=at(30.2).isoformat(), budgets={},
        deadline_seconds=120.0, service_seconds=0.0, caught_up_seconds=1.0, fresh_seconds=0.0,
    )  # fmt: skip


def _journal() -> dict[str, Any]:
    names = ("pause", "await_recovery")
    providers = [{"module": "k2chaos.actions", "func": name} for name in names]
    spans = ((20.0, 30.1), (30.2, 45.0))
    return {
        "chaoslib-version": "1.44.0",
        "status": "completed",
        "experiment": {
            "title": "A pause loses nothing",
            "method": [{"name": one["func"], "provider": one} for one in providers],
        },
        "steady_states": {"before": _met(5.0), "after": _met(46.0)},
        "run": [
            {"activity": {"name": name}, "status": "succeeded", **_span(*span)}
            for name, span in zip(names, spans, strict=True)
        ],
        "rollbacks": [],
    }


def _met(moment: float) -> dict[str, Any]:
    probe = {"activity": {"name": "fresh"}, "status": "succeeded", "tolerance_met": True}
    return {"steady_state_met": True, "probes": [{**probe, **_span(moment, moment + 1)}]}


def _span(begin: float, end: float) -> dict[str, str]:
    """As Chaos Toolkit spells it: UTC without saying so."""
    return {
        name: at(moment).replace(tzinfo=None).isoformat()
        for name, moment in (("start", begin), ("end", end))
    }


def _records() -> pa.Table:
    sequences = range(1, RECORDS_SEEN + 1)
    columns = {
        "key": ["A"] * RECORDS_SEEN,
        "sequence": sequences,
        "event_time": [START + timedelta(milliseconds=10 * one) for one in sequences],
        "digest": sequences,
    }
    return pa.table(columns, schema=RECORDS)

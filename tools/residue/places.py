"""
What a trial breaks: a tiny container of its own; an exchange of its own, with a subscriber; or the
lab, which is nobody's own: one trial at a time breaks it.
"""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

import yaml

from k2chaos.system.runtime import Endpoint
from tests.contract.containers import containers, network
from tests.contract.exchange_process import Exchange, running_exchange
from tests.contract.subscriber import subscribed
from tests.contract.waiting import wait_until
from tests.fakes.examples import (
    BETWEEN,
    DATA_EXAMPLES,
    EXAMPLES,
    NETWORKED,
    OF_THE_TABLE,
    PEER,
)
from tests.fakes.pipelines import lab_tree
from tools.residue import oracle
from tools.residue.lab_oracle import Lab, look_at_lab, services
from tools.residue.victim import SERVICE, Trial

LAB_PIPELINE: Final = Path(__file__).resolve().parents[2] / "pipelines" / "lab.yaml"
_last_look: Final[dict[str, dict[str, Any]]] = {}
"""At the lab of an engine, by the trial before."""


@dataclass(frozen=True, slots=True)
class Place:
    """
    One such thing.

    Attributes:
        before: All that a fault may change of it, by the oracle's account, before there was one.
        look: The same now.
        pipeline_file: What names it where it is no container.
        endpoint: What it is to a fault, where it is no container.
    """

    before: dict[str, Any]
    look: Callable[[], dict[str, Any]]
    pipeline_file: Path | None = None
    endpoint: Endpoint | None = None


@contextmanager
def place_of(trial: Trial, state: Path) -> Iterator[Place]:
    """Start it for *trial*, whose files are in *state*; removed at the end. The lab is there."""
    if trial.kind in EXAMPLES:
        place = _container(trial)
    elif trial.kind in DATA_EXAMPLES:
        place = _lab(trial)
    else:
        place = _exchange(state)
    with place as one:
        yield one


def lab_is_up(engine: str) -> bool:
    """Whether all that the lab's pipeline file names runs and is healthy."""
    tree = _lab_tree()
    roles = tree["services"].values()
    named = {name for one in roles for name in ([one] if isinstance(one, str) else one)}
    found = services(engine, tree["compose"]["project"])
    return all(found.get(name) == "running healthy" for name in named)


@contextmanager
def _container(trial: Trial) -> Iterator[Place]:
    services = (SERVICE, PEER) if trial.kind in BETWEEN else (SERVICE,)
    is_networked = trial.kind in NETWORKED
    with (
        network(trial.engine, trial.project) if is_networked else nullcontext("none") as joined,
        containers(trial.engine, trial.project, services, joined) as (target, *_),
    ):
        look = partial(oracle.look, trial.engine, target)
        yield Place(look(), look)


@contextmanager
def _exchange(state: Path) -> Iterator[Place]:
    tape = state / "exchange"
    tape.mkdir()
    with running_exchange(tape) as exchange, subscribed(exchange.stream) as subscriber:
        wait_until(lambda: subscriber.trades, "trades come", 60.0)
        look = partial(oracle.look_at_feed, exchange.control, exchange.stream)
        target = Endpoint("exchange", exchange.control)
        yield Place(look(), look, _pipeline_file(exchange, state), target)


@contextmanager
def _lab(trial: Trial) -> Iterator[Place]:
    stage = "table" if trial.kind in OF_THE_TABLE else "topic"
    target = Endpoint(stage, _lab_tree()[stage]["name"])
    lab = lab_on(trial.engine)

    def look() -> dict[str, Any]:
        _last_look[trial.engine] = look_at_lab(lab)
        return _last_look[trial.engine]

    # What one trial ends with is what the next begins with: nothing can come between them unseen.
    before = _last_look.pop(trial.engine, None) or look_at_lab(lab)
    yield Place(before, look, LAB_PIPELINE, target)


def lab_on(engine: str) -> Lab:
    """Where the oracle finds the lab, by the words of its pipeline file."""
    tree = _lab_tree()
    topic, table = tree["topic"], tree["table"]
    namespace, _, name = table["name"].rpartition(".")
    return Lab(
        engine,
        tree["compose"]["project"],
        topic["bootstrap"],
        (topic["name"], topic["dlq"]),
        topic["group"],
        f"{table['catalog']['uri']}/v1/namespaces/{namespace}/tables/{name}?snapshots=all",
    )


def _lab_tree() -> Any:
    return yaml.safe_load(LAB_PIPELINE.read_text(encoding="utf-8"))


def _pipeline_file(exchange: Exchange, state: Path) -> Path:
    text = yaml.safe_dump(lab_tree(exchange={"control": exchange.control}, env_file=None))
    path = state / "pipeline.yaml"
    path.write_text(re.sub(r"\$\{(\w+)\}", r"\1", text), encoding="utf-8")  # it needs no secret
    return path

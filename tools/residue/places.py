"""What a trial breaks: a tiny container, or an exchange that somebody is subscribed to."""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import yaml

from tests.contract.containers import containers
from tests.contract.exchange_process import Exchange, running_exchange
from tests.contract.subscriber import subscribed
from tests.contract.waiting import wait_until
from tests.fakes.examples import BETWEEN, EXAMPLES, PEER
from tests.fakes.pipelines import lab_tree
from tools.residue import oracle
from tools.residue.victim import SERVICE, Trial


@dataclass(frozen=True, slots=True)
class Place:
    """
    One such thing.

    Attributes:
        look: All that a fault may change of it, by the oracle's account.
        pipeline_file: What names it where it is no container.
        exchange: Where it takes orders.
    """

    look: Callable[[], dict[str, Any]]
    pipeline_file: Path | None = None
    exchange: str = ""


@contextmanager
def place_of(trial: Trial, state: Path) -> Iterator[Place]:
    """Start it for *trial*, whose files are in *state*; removed at the end."""
    with _container(trial) if trial.kind in EXAMPLES else _exchange(state) as place:
        yield place


@contextmanager
def _container(trial: Trial) -> Iterator[Place]:
    services = (SERVICE, PEER) if trial.kind in BETWEEN else (SERVICE,)
    network = "bridge" if trial.kind in BETWEEN else "none"
    with containers(trial.engine, trial.project, services, network) as (target, *_):
        yield Place(partial(oracle.look, trial.engine, target))


@contextmanager
def _exchange(state: Path) -> Iterator[Place]:
    tape = state / "exchange"
    tape.mkdir()
    with running_exchange(tape) as exchange, subscribed(exchange.stream) as subscriber:
        wait_until(lambda: subscriber.trades, "trades come", 60.0)
        look = partial(oracle.look_at_feed, exchange.control, exchange.stream)
        yield Place(look, _pipeline_file(exchange, state), exchange.control)


def _pipeline_file(exchange: Exchange, state: Path) -> Path:
    text = yaml.safe_dump(lab_tree(exchange={"control": exchange.control}, env_file=None))
    path = state / "pipeline.yaml"
    path.write_text(re.sub(r"\$\{(\w+)\}", r"\1", text), encoding="utf-8")  # it needs no secret
    return path

"""Network namespaces, their packet filters and the helpers in them, in memory only."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from k2chaos.errors import ContainerNotFound
from k2chaos.system.faults.network.names import RESOLVER
from k2chaos.system.runtime import Container, HelperCall

_ROUND_TRIP_MS = 0.1
_BYTES_PER_SECOND = 20e6


@dataclass
class Chain:
    """
    One chain of our own; it is hooked or does nothing.

    Attributes:
        table: Of the packet filter.
        met: Packets that met its first rule that does something.
    """

    table: str
    rules: list[str] = field(default_factory=list)
    hooks: list[str] = field(default_factory=list)
    met: int = 0


@dataclass
class Namespace:
    """The network of one life of a container."""

    address: str
    chains: dict[str, Chain] = field(default_factory=dict)

    def restore(self, text: str) -> None:
        """What ``iptables-restore --noflush`` does."""
        table = ""
        for line in text.splitlines():
            if named := re.match(r"\*(\S+)", line):
                table = named[1]
            elif made := re.match(r":(\S+)", line):
                self.chains[made[1]] = Chain(table)
            elif hook := re.match(r"-I (\S+) -j (\S+)", line):
                self.chains[hook[2]].hooks.append(hook[1])
            elif rule := re.match(r"-A (\S+) (.*)", line):
                self.chains[rule[1]].rules.append(rule[2])

    def meets(self, peer: str, *words: str) -> str | None:
        """The first rule in force about *peer* that has one of *words*; it counts a packet."""
        for chain in self.chains.values():
            for rule in chain.rules if chain.hooks else ():
                if rule.split()[1] == peer and any(re.search(word, rule) for word in words):
                    chain.met += 1
                    return rule
        return None

    def rules(self) -> list[str]:
        """Of all chains."""
        return [rule for chain in self.chains.values() for rule in chain.rules]

    def listing(self, table: str = "") -> str:
        """What ``iptables-save -c`` prints of one table, or of all."""
        lines: list[str] = []
        for name, chain in self.chains.items():
            if table in {"", chain.table}:
                lines.append(f":{name} - [0:0]")
                lines += [f"[0:0] -A {hook} -j {name}" for hook in chain.hooks]
                does = [rule for rule in chain.rules if re.search("DROP|NFQUEUE|RST", rule)]
                counts = [chain.met if rule in does[:1] else 0 for rule in chain.rules]
                pairs = zip(counts, chain.rules, strict=True)
                lines += [f"[{count}:0] -A {name} {rule}" for count, rule in pairs]
        return "\n".join(lines)


@dataclass
class Helper:
    """A helper that lasts, in the namespace that it joined."""

    network: "FakeNetwork"
    at: Container
    namespace: Namespace
    command: tuple[str, ...]

    def answer(self, command: tuple[str, ...]) -> str:
        """What *command* prints here."""
        return self.network.answer_in(self.namespace, command)

    def said(self) -> tuple[str, ...]:
        """The last line of a watcher; it tries whenever it is asked."""
        is_watcher = "watch.py" in self.command[1]
        if not is_watcher or self.at in self.network.speechless:
            return ()
        return (self.answer(self.command).strip(),)


@dataclass
class FakeNetwork:
    """
    One network that all containers are in.

    Attributes:
        apart: Containers that are in no network.
        speechless: Containers whose watchers have said nothing yet.
        dual: Containers that have an IPv6 address, too.
        mute: Containers that answer nobody, whatever the rules.
        hurry_ms: By how much delays are too short.
        ignored: What helpers do nothing of, in their own words (``twice``, ``reset``, ...).
        noise: What attempts see whatever is done (``{"twice": 1}``).
    """

    namespaces: dict[Container, Namespace] = field(default_factory=dict)
    placed: dict[tuple[str, str], Helper] = field(default_factory=dict)
    apart: set[Container] = field(default_factory=set)
    dual: set[Container] = field(default_factory=set)
    mute: set[Container] = field(default_factory=set)
    speechless: set[Container] = field(default_factory=set)
    hurry_ms: float = 0.0
    ignored: set[str] = field(default_factory=set)
    noise: dict[str, Any] = field(default_factory=dict)
    numbers: dict[Container, int] = field(default_factory=dict)

    def addresses(self, container: Container) -> dict[str, str]:
        """By network."""
        return {} if container in self.apart else {"net": self.at(container).address}

    def at(self, container: Container) -> Namespace:
        """The namespace of its present life."""
        number = self.numbers.setdefault(container, len(self.numbers) + 2)
        return self.namespaces.setdefault(container, Namespace(f"10.0.0.{number}"))

    def end(self, container: Container) -> None:
        """Its life is over, and its namespace with it, but for helpers that are in there."""
        self.namespaces.pop(container, None)

    def place(self, call: HelperCall, tag: str, name: str) -> None:
        """Start a helper that lasts."""
        assert call.network_of is not None
        there = self.at(call.network_of)
        self.placed[tag, name] = Helper(self, call.network_of, there, call.command)

    def helper(self, tag: str, name: str) -> Helper:
        """The one of that name."""
        if (tag, name) not in self.placed:
            message = f"no helper {name} of {tag}"
            raise ContainerNotFound(message)
        return self.placed[tag, name]

    def names(self, tag: str) -> tuple[str, ...]:
        """Of the helpers of *tag*."""
        return tuple(sorted(name for of, name in self.placed if of == tag))

    def remove(self, tag: str) -> None:
        """End the helpers of *tag*."""
        self.placed = {key: one for key, one in self.placed.items() if key[0] != tag}

    def answer(self, container: Container, command: tuple[str, ...]) -> str:
        """What *command* prints in a helper beside *container*."""
        return self.answer_in(self.at(container), command)

    def answer_in(self, here: Namespace, command: tuple[str, ...]) -> str:
        """What *command* prints in the namespace *here*."""
        if command[0] == "iptables-save":
            return here.listing(command[-1] if "-t" in command else "")
        if "apply.py" in command[1]:
            here.restore(command[-1])
            return f"{command[2]}\n"
        if "watch.py" in command[1]:
            how = json.loads(command[4])
            saw = {one: self._saw(here, command[3], one, how) for one in command[5:]}
            return json.dumps({"at": 0.0, "saw": saw}) + "\n"
        if "iptables -w" in command[-1]:
            (chain,) = {*re.findall(r"K2C-\w+", command[-1])}
            here.chains.pop(chain, None)
            return "0\n"
        return ""

    def _saw(self, here: Namespace, way: str, address: str, how: dict[str, Any]) -> dict[str, Any]:
        """What an attempt from *here* at *address* sees."""
        if address == RESOLVER:
            is_lost = here.meets(RESOLVER, "DROP")
            return {"answered_ms": None if is_lost else _ROUND_TRIP_MS}
        there = self._answering(address)
        if there is None or there.meets(here.address, r"^-[sd] \S+ -j DROP$"):
            lost = {"accepted_ms": None, "reset_seconds_ago": None, "twice": 0, "overtaken": 0}
            return {"answered_ms": None, "bytes_per_second": None, **lost}
        there.meets(here.address, "statistic")
        return {**self._heard(here, there, way, how), **self.noise}

    def _heard(
        self, here: Namespace, there: Namespace, way: str, how: dict[str, Any]
    ) -> dict[str, Any]:
        if way == "echo":
            is_lost = there.meets(here.address, "PSH -j DROP")
            answered = None if is_lost else _ROUND_TRIP_MS
            return {"accepted_ms": _ROUND_TRIP_MS, "answered_ms": answered}
        if way == "keep":
            is_reset = "reset" not in self.ignored and there.meets(here.address, "RST RST")
            return {"answered_ms": _ROUND_TRIP_MS, "reset_seconds_ago": 0.0 if is_reset else None}
        asked = {"late": 0.0, "twice": 0.0, "bytes_per_second": 0.0, "delay_ms": 0.0}
        for one in self._queues(there, here.address):
            asked |= {name: value for name, value in one.items() if name not in self.ignored}
        took = _ROUND_TRIP_MS + asked["delay_ms"] - (self.hurry_ms if asked["delay_ms"] else 0)
        count = how.get("count", 0)
        return {
            "answered_ms": took,
            "twice": round(count * asked["twice"]),
            "overtaken": round(count * asked["late"]),
            "bytes_per_second": asked["bytes_per_second"] or _BYTES_PER_SECOND,
        }

    def _answering(self, address: str) -> Namespace | None:
        for container, there in self.namespaces.items():
            if there.address == address and container not in self.mute:
                return there
        return None

    def _queues(self, there: Namespace, peer: str) -> Iterator[dict[str, float]]:
        """What the helpers of *there* do to a packet to *peer*."""
        there.meets(peer, "NFQUEUE")
        queued = [rule for chain in there.chains.values() if chain.hooks for rule in chain.rules]
        rule = rf"-d {re.escape(peer)} -j NFQUEUE --queue-num (\d+)"
        numbers = re.findall(rule, "\n".join(queued))
        for one in self.placed.values():
            is_there = one.namespace is there and "hold_back.py" in one.command[1]
            if is_there and one.command[2] in numbers:
                yield json.loads(one.command[4])

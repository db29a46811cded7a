"""Network namespaces, their packet filters and the helpers in them, in memory only."""

import json
import re
from dataclasses import dataclass, field

from k2chaos.errors import ContainerNotFound
from k2chaos.system.runtime import Container, HelperCall


@dataclass
class Namespace:
    """
    The network of one life of a container.

    Attributes:
        chains: Our own chains by name, each with its rules; a chain is hooked or does nothing.
        dropped: Packets each chain has dropped.
    """

    address: str
    chains: dict[str, list[str]] = field(default_factory=dict)
    hooked: set[str] = field(default_factory=set)
    dropped: dict[str, int] = field(default_factory=dict)

    def restore(self, text: str) -> None:
        """What ``iptables-restore --noflush`` does."""
        for line in text.splitlines():
            if made := re.match(r":(\S+)", line):
                self.chains[made[1]] = []
                self.dropped[made[1]] = 0
            elif hook := re.match(r"-I \S+ -j (\S+)", line):
                self.hooked.add(hook[1])
            elif rule := re.match(r"-A (\S+) (.*)", line):
                self.chains[rule[1]].append(rule[2])

    def drops(self, peer: str) -> bool:
        """Whether a packet from or to *peer* is lost here; it is counted."""
        for chain in self.hooked:
            rules = self.chains[chain]
            # What drops a share, or data only, has something to count and lets the attempt pass.
            about = [
                rule
                for rule in rules
                if (rule.split()[1] == peer and "-j DROP" in rule) or "NFQUEUE" in rule
            ]
            self.dropped[chain] += bool(about)
            if any(re.fullmatch(rf"-[sd] {re.escape(peer)} -j DROP", rule) for rule in rules):
                return True
        return False

    def listing(self) -> str:
        """What ``iptables-save -c`` prints."""
        lines = [f":{chain} - [0:0]" for chain in self.chains]
        for chain in sorted(self.hooked):
            lines += [f"[0:0] -A {hook} -j {chain}" for hook in ("INPUT", "OUTPUT")]
        for chain, rules in self.chains.items():
            first = next((rule for rule in rules if "-j DROP" in rule or "NFQUEUE" in rule), "")
            lines += [
                f"[{self.dropped[chain] if rule == first else 0}:0] -A {chain} {rule}"
                for rule in rules
            ]
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
        return (self.answer(self.command).strip(),) if is_watcher else ()


@dataclass
class FakeNetwork:
    """
    One network that all containers are in.

    Attributes:
        apart: Containers that are in no network.
        mute: Containers that answer nobody, whatever the rules.
        hurry_ms: By how much delays are too short.
    """

    namespaces: dict[Container, Namespace] = field(default_factory=dict)
    placed: dict[tuple[str, str], Helper] = field(default_factory=dict)
    apart: set[Container] = field(default_factory=set)
    mute: set[Container] = field(default_factory=set)
    hurry_ms: float = 0.0
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
            return here.listing()
        if "apply.py" in command[1]:
            here.restore(command[-1])
            return f"{command[2]}\n"
        if "watch.py" in command[1]:
            answered = {address: self._round_trip_ms(here, address) for address in command[5:]}
            return json.dumps({"at": 0.0, "answered_ms": answered}) + "\n"
        if "iptables -w" in command[-1]:
            (chain,) = {*re.findall(r"K2C-\w+", command[-1])}
            here.hooked.discard(chain)
            here.chains.pop(chain, None)
        return ""

    def _round_trip_ms(self, here: Namespace, address: str) -> float | None:
        for container, there in self.namespaces.items():
            if there.address == address:
                is_silent = container in self.mute or there.drops(here.address)
                return None if is_silent else 0.1 + self._delay_ms(there, here.address)
        return None

    def _delay_ms(self, there: Namespace, peer: str) -> float:
        """What the queues of *there* hold a packet to *peer* back."""
        rules = " ".join(rule for chain in there.hooked for rule in there.chains[chain])
        numbers = re.findall(rf"-d {re.escape(peer)} -j NFQUEUE --queue-num (\d+)", rules)
        consumers = (one.command for one in self.placed.values() if one.namespace is there)
        return sum(
            float(command[3]) - self.hurry_ms
            for command in consumers
            if "delay.py" in command[1] and command[2] in numbers
        )

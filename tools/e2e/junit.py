"""What a run of pytest came to, from the XML that it writes (``junit_family=xunit1``)."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree as ET

_WORST = ("passed", "skipped", "error", "failed")


@dataclass(frozen=True)
class Case:
    """
    One test.

    Attributes:
        test: Its node id.
        outcome: ``passed``, ``skipped``, ``error`` (outside of its call) or ``failed``.
        reason: Why not passed, in one line.
    """

    test: str
    outcome: str
    reason: str = ""


def read_cases(file: Path) -> list[Case]:
    """Every test of *file* once, by its worst outcome; none where there is no such file."""
    if not file.exists():
        return []
    worst: dict[str, Case] = {}
    # It was written a moment ago, by our own child.
    for element in ET.parse(file).iter("testcase"):  # noqa: S314
        for case in _cases(element):
            known = worst.setdefault(case.test, case)
            if _WORST.index(case.outcome) > _WORST.index(known.outcome):
                worst[case.test] = case
    return list(worst.values())


def _cases(element: ET.Element) -> Iterator[Case]:
    test = _node_id(element)
    yield Case(test, "passed")
    for tag, outcome in (("skipped", "skipped"), ("error", "error"), ("failure", "failed")):
        for child in element.iter(tag):
            yield Case(test, outcome, _one_line(child.get("message") or child.text or ""))


def _node_id(element: ET.Element) -> str:
    """File, classes and name: the class name of the XML is the module's, then the classes'."""
    file, name = element.get("file", ""), element.get("name", "")
    module = file.removesuffix(".py").replace("/", ".")
    classes = element.get("classname", "").removeprefix(module).strip(".")
    return "::".join([file, *(classes.split(".") if classes else ()), name])


def _one_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[0][:300] if lines else ""

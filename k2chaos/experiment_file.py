"""
Reading an experiment file: JSON or YAML, as Chaos Toolkit takes it.

Rules: what Chaos Toolkit would answer with a traceback is a mistake with its place; what JSON
parsers let pass in silence (a key that stands twice, ``NaN``) is a mistake too. Nothing here runs
or imports what the experiment names.
"""

import json
import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from k2chaos.errors import ExperimentError
from k2chaos.yaml_file import parse_yaml

OUR_MODULES: Final = "k2chaos."
CONTROL_MODULE: Final = "k2chaos.controls"
_TEXT_OR_NUMBER: Final = re.compile(
    r'"(?:[^"\\]|\\.)*"|(?P<word>-?Infinity|NaN)|(?P<number>-?\d[\d.eE+-]*)'
)


@dataclass(frozen=True, slots=True)
class ExperimentFile:
    """
    An experiment and where it came from.

    Attributes:
        source: As typed.
        tree: The parsed file. Its top level is a mapping; nothing else is certain.
    """

    source: str
    tree: Mapping[Any, Any]

    @property
    def name(self) -> str:
        """The file's name without its ending."""
        return Path(self.source).stem

    @property
    def claim(self) -> str:
        """The title: the claim that the experiment tries to falsify."""
        return str(self.tree.get("title") or "")

    @property
    def configured_pipeline(self) -> str | None:
        """The pipeline file that the experiment's own configuration names."""
        configuration = self.tree.get("configuration")
        named = configuration.get("pipeline") if isinstance(configuration, Mapping) else None
        return named if isinstance(named, str) else None


def is_url(source: str) -> bool:
    """Whether Chaos Toolkit would fetch *source* rather than open it."""
    return source.startswith(("http://", "https://"))


def read_experiment(source: str) -> ExperimentFile:
    """
    Read the experiment file *source*.

    Raises:
        ExperimentError: It is not there, cannot be read or does not parse.
    """
    path = Path(source)
    if path.is_dir():
        raise ExperimentError(source, ["it is a directory; name the files in it"])
    if path.suffix not in {".json", ".yaml", ".yml"}:
        raise ExperimentError(source, ["an experiment's file name ends in .json, .yaml or .yml"])
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise ExperimentError(source, ["there is no such file"]) from error
    except (OSError, UnicodeDecodeError) as error:
        raise ExperimentError(source, [f"it cannot be read: {error}"]) from error
    if not text.strip():
        raise ExperimentError(source, ["it is empty"])
    parse = _parse_json if path.suffix == ".json" else _parse_yaml
    tree = parse(source, text)
    if not isinstance(tree, Mapping):
        raise ExperimentError(source, ["top level: an object with title, method, ... is expected"])
    return ExperimentFile(source, tree)


def uses_k2chaos(tree: Any) -> bool:
    """Whether the experiment names a module of k2chaos anywhere: control, action or probe."""
    return any(module.startswith(OUR_MODULES) for module in _modules(tree))


def declares_control(tree: Mapping[Any, Any]) -> bool:
    """Whether the control stands at the top level, where it sees the whole experiment."""
    return CONTROL_MODULE in _modules(tree.get("controls"))


def _modules(tree: Any) -> Iterator[str]:
    """Every text under a key ``module``, wherever it stands; without recursion."""
    waiting = [tree]
    seen: set[int] = set()  # a YAML anchor may make a tree contain itself
    while waiting:
        node = waiting.pop()
        if id(node) in seen:
            continue
        seen.add(id(node))
        if isinstance(node, Mapping):
            module = node.get("module")
            if isinstance(module, str):
                yield module
            waiting.extend(node.values())
        elif isinstance(node, list):
            waiting.extend(node)


def _parse_json(source: str, text: str) -> Any:
    oddities: list[str] = []

    def pairs(items: list[tuple[str, Any]]) -> dict[str, Any]:
        result = dict(items)
        if len(result) != len(items):
            names = Counter(name for name, _ in items)
            twice = sorted(name for name, times in names.items() if times > 1)
            oddities.extend(f'the key "{name}" stands twice in one object' for name in twice)
        return result

    try:
        tree = json.loads(text, object_pairs_hook=pairs)
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        raise ExperimentError(source, [f"{where}: not JSON: {error.msg}"]) from error
    except (ValueError, RecursionError) as error:
        raise ExperimentError(source, [f"not JSON that can be read: {error}"]) from error
    oddities += _no_numbers(text)
    if oddities:
        raise ExperimentError(source, [*dict.fromkeys(oddities)])
    return tree


def _no_numbers(text: str) -> Iterator[str]:
    """The words for numbers that Python takes and JSON does not know, each with its place."""
    for found in _TEXT_OR_NUMBER.finditer(text):
        word, number = found["word"], found["number"]
        if word or (number and math.isinf(float(number))):
            line, column = text.count("\n", 0, found.start()) + 1, found.start()
            column -= text.rfind("\n", 0, found.start())
            what = "is not a number that JSON knows" if word else "is too large for a number"
            yield f"line {line}, column {column}: {word or number} {what}"


def _parse_yaml(source: str, text: str) -> Any:
    try:
        return parse_yaml(text)
    except ValueError as error:
        raise ExperimentError(source, [str(error)]) from error

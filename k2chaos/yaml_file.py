"""
YAML as people mean it: what its parsers let pass in silence is a mistake with its line.

A key that stands twice in one mapping is one (YAML 1.2, section 3.2.1.3, wants them unique); the
library takes the last.
"""

from collections.abc import Iterator
from typing import Any, Final

import yaml

_MERGE: Final = "tag:yaml.org,2002:merge"


def parse_yaml(text: str) -> Any:
    """
    The value of one YAML document.

    Raises:
        ValueError: It is none; the message says where and what, of all doubled keys at once.
    """
    try:
        twice = tuple(_twice(yaml.compose(text, Loader=yaml.SafeLoader)))
        if not twice:
            return yaml.safe_load(text)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"{_place(mark)}: " if mark else ""
        message = f"{where}not YAML: {error.problem or error.context}"
        raise ValueError(message) from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        message = f"not YAML that can be read: {' '.join(str(error).split())}"
        raise ValueError(message) from error
    raise ValueError("; ".join(twice))


def _twice(root: yaml.Node | None) -> Iterator[str]:
    """Every key that its mapping has already, in the order of the text."""
    waiting: list[Any] = [root]
    seen: set[int] = set()  # an anchor may make a node contain itself
    while waiting:
        node = waiting.pop(0)
        if id(node) in seen:
            continue
        seen.add(id(node))
        if isinstance(node, yaml.SequenceNode):
            waiting.extend(node.value)
        if isinstance(node, yaml.MappingNode):
            waiting.extend(part for pair in node.value for part in pair)
            yield from _twice_in(node)


def _twice_in(node: yaml.MappingNode) -> Iterator[str]:
    known = set()
    for key, _ in node.value:
        if not isinstance(key, yaml.ScalarNode) or key.tag == _MERGE:
            continue
        if (key.tag, key.value) in known:
            yield f'{_place(key.start_mark)}: the key "{key.value}" stands twice in one mapping'
        known.add((key.tag, key.value))


def _place(mark: Any) -> str:
    return f"line {mark.line + 1}, column {mark.column + 1}"

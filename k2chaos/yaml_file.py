"""
YAML as people mean it: what its parsers let pass in silence is a mistake with its line.

A key that stands twice in one mapping is one (YAML 1.2, section 3.2.1.3, wants them unique); the
library takes the last.
"""

from collections.abc import Iterator
from typing import Any, Final

import yaml

_NOT_READ: Final = (
    yaml.YAMLError,
    ValueError,
    RecursionError,
    LookupError,  # `!!bool nope`, `!!int ''`
    AttributeError,  # `!!timestamp x`
)
"""What the library raises of text that it cannot read."""


def parse_yaml(text: str) -> Any:
    """
    The value of one YAML document.

    Raises:
        ValueError: It is none; the message says where and what, of all doubled keys at once.
    """
    try:
        loader = yaml.SafeLoader(text)
        root = loader.get_single_node()
        if not (twice := [*_twice(root)]):
            return loader.construct_document(root) if root else None
    except yaml.MarkedYAMLError as error:
        raise ValueError(_told(error)) from error
    except _NOT_READ as error:
        message = f"not YAML that can be read: {' '.join(str(error).split())}"
        raise ValueError(message) from error
    twice.sort(key=lambda one: (one[0].line, one[0].column))
    raise ValueError("; ".join(f"{_place(mark)}: {what}" for mark, what in twice))


def _told(error: yaml.MarkedYAMLError) -> str:
    mark = error.problem_mark or error.context_mark
    where = f"{_place(mark)}: " if mark else ""
    if isinstance(error, yaml.composer.ComposerError) and "single document" in str(error.context):
        return f"{where}one document is expected, and here begins another"
    return f"{where}not YAML: {error.problem or error.context}"


def _twice(root: yaml.Node | None) -> Iterator[tuple[Any, str]]:
    """Where a key stands that its mapping has already."""
    waiting: list[Any] = [root]
    seen: set[int] = set()  # an anchor may make a node contain itself
    while waiting:
        node = waiting.pop()
        if id(node) in seen:
            continue
        seen.add(id(node))
        if isinstance(node, yaml.SequenceNode):
            waiting.extend(node.value)
        if isinstance(node, yaml.MappingNode):
            waiting.extend(part for pair in node.value for part in pair)
            yield from _twice_in(node)


def _twice_in(node: yaml.MappingNode) -> Iterator[tuple[Any, str]]:
    known = set()
    for key, _ in node.value:
        if isinstance(key, yaml.ScalarNode):
            if (key.tag, key.value) in known:
                yield key.start_mark, f'the key "{key.value}" stands twice in one mapping'
            known.add((key.tag, key.value))


def _place(mark: Any) -> str:
    return f"line {mark.line + 1}, column {mark.column + 1}"

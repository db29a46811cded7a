"""YAML: what is meant is read, what nobody means is one error with its place."""

from typing import Any

import pytest

from k2chaos.yaml_file import parse_yaml


@pytest.mark.parametrize(
    "text, value",
    [
        ("a: 1\nb: [x, {c: 2}]", {"a": 1, "b": ["x", {"c": 2}]}),
        ("b: &b {x: 1, y: 2}\nc: {<<: *b, x: 3}", {"b": {"x": 1, "y": 2}, "c": {"x": 3, "y": 2}}),
        ("a: {x: 1}\nb: {x: 1}", {"a": {"x": 1}, "b": {"x": 1}}),
        ("1: a\n'1': b", {1: "a", "1": "b"}),
        ("", None),
    ],
    ids=["plain", "merged", "elsewhere", "of another type", "empty"],
)
def test_what_is_meant_is_read(text: str, value: Any) -> None:
    assert value == parse_yaml(text)


def test_all_doubled_keys_are_told_in_the_order_of_the_text() -> None:
    with pytest.raises(ValueError, match=r"line 3.*line 5.*line 8"):
        parse_yaml("a:\n  x: 1\n  x: 2\nb: 1\nb: 2\nc:\n- {y: 1,\n   y: 2}")


@pytest.mark.parametrize(
    "text, mistake",
    [
        ("a: 1\na: 2", 'line 2, column 1: the key "a" stands twice'),
        ("- {k: 1, k: 1}", 'line 1, column 10: the key "k" stands twice'),
        ("? {x: 1, x: 2}\n: 1", 'line 1, column 10: the key "x" stands twice'),
        ("? [a, b]\n: 1", "line 1, column 3: not YAML: found unhashable key"),
        ("a: [1", "line 1, column 6: not YAML: expected"),
        ("a: &x {b: *x, b: 2}", 'line 1, column 15: the key "b" stands twice'),
        ("- a\n---\n- b", "line 2, column 1: one document is expected, and here begins another"),
        ("a: {<<: {x: 1}, <<: {y: 1}}", 'line 1, column 17: the key "<<" stands twice'),
        ("a: !!bool nope", "not YAML that can be read: "),
        ("a: !!int ''", "not YAML that can be read: "),
        ("a: !!timestamp x", "not YAML that can be read: "),
        ("a: \x07", "not YAML that can be read: "),
        ("[" * 5000, "not YAML"),
    ],
)
def test_what_nobody_means_is_one_error_with_its_place(text: str, mistake: str) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - its text is looked at
        parse_yaml(text)

    assert mistake in str(caught.value)

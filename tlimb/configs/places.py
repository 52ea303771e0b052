"""Where each field of a config stands in its YAML text."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import yaml

from tlimb.plainyaml import FastLoader


@dataclass(frozen=True, slots=True)
class Place:
    """A field: its dotted path and where it stands, key and value; lines and columns count from 0, the end is behind the last character.

    `whole` says that it holds further fields, which have places of their own, `scalar` that it is neither list nor mapping.
    """

    path: str
    line: int
    column: int
    end_line: int
    end_column: int
    whole: bool
    scalar: bool = True


def places(text: str) -> tuple[Place, ...]:
    """The fields of a YAML document, each before those that it holds; entries of lists are numbered from 0."""
    root = yaml.compose(text, Loader=FastLoader)
    return tuple(_within(root, "")) if root is not None else ()


def _within(node: Any, path: str) -> Iterator[Place]:
    entries: list[tuple[Any, str, Any]] = []
    if isinstance(node, yaml.MappingNode):
        entries = [(key, str(key.value), value) for key, value in node.value]
    elif isinstance(node, yaml.SequenceNode):
        entries = [(value, str(number), value) for number, value in enumerate(node.value)]
    for start, name, value in entries:
        if name == "init_args" and isinstance(value, yaml.MappingNode):
            yield from _within(value, path)
            continue
        inner = path if name == "class_path" else f"{path}.{name}" if path else name
        end = value.end_mark
        line, column = end.line, end.column
        if column == 0 and line > start.start_mark.line:  # a block ends where the next one begins
            line, column = line - 1, 1 << 16
        holds = isinstance(value, yaml.MappingNode | yaml.SequenceNode) and any(_is_field(item) for item in value.value)
        yield Place(inner, start.start_mark.line, start.start_mark.column, line, column, holds, isinstance(value, yaml.ScalarNode))
        if holds:
            yield from _within(value, inner)


def _is_field(item: Any) -> bool:
    """Whether an entry is looked at by itself: all of a mapping, of a list only mappings."""
    return isinstance(item, tuple | yaml.MappingNode)

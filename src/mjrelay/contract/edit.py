"""
Changes to a YAML document that keep its comments beside what they speak of.

Plain dicts and lists are changed just the same. A document stands in a ``box``, a list of one, so that the
root, too, has something that holds it.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

from ruamel.yaml.comments import Comment, CommentedMap, CommentedSeq, Format, LineCol
from ruamel.yaml.error import CommentMark
from ruamel.yaml.scalarstring import FoldedScalarString, LiteralScalarString
from ruamel.yaml.tokens import CommentToken

if TYPE_CHECKING:
    from mjrelay.base import Location


def key_of(holder: Any, step: str | int) -> Any:
    """The key that a JSONPath's step means: a YAML key may be a number (200:) where JSON has text."""
    if isinstance(holder, list) or step in holder:
        return step
    return next((key for key in holder if str(key) == step), step)


def find(box: list[Any], location: Location) -> tuple[Any, Any]:
    holder: Any = box
    key: Any = 0
    for step in location:
        holder = holder[key]
        key = key_of(holder, step)
    return holder, key


def append(holder: Any, key: Any, name: str | int, value: Any) -> None:
    """Add an item at the end of an object or array, above the comments that follow it."""
    inner = holder[key]
    rest = _take(holder, key)
    if isinstance(inner, CommentedMap | CommentedSeq):
        value = _styled(value)
        if not inner:
            inner.fa.set_block_style()
            inner.ca.comment = None
    else:
        value = copy.deepcopy(value)
    if isinstance(inner, list):
        inner.append(value)
    else:
        inner[name] = value
    _give(holder, key, rest)


def replace(holder: Any, key: Any, value: Any) -> None:
    """Put a scalar in the place of another."""
    rest = _take(holder, key)
    holder[key] = value
    _give(holder, key, rest)


def remove(box: list[Any], location: Location) -> None:
    """Take a node away with the comments above it, and leave those of the node that follows."""
    holder, key = find(box, location)
    rest = _take(holder, key)
    keys = list(range(len(holder)) if isinstance(holder, list) else holder)
    index = keys.index(key)
    del holder[key]
    if isinstance(holder, CommentedMap):
        holder.ca.items.pop(key, None)
    elif isinstance(holder, CommentedSeq) and holder.lc.data:
        holder.lc.data = {at - (at > key): mark for at, mark in holder.lc.data.items() if at != key}
    if index:
        _take(holder, keys[index - 1])
        _give(holder, keys[index - 1], rest)
    elif holder:
        _lead(holder, 0 if isinstance(holder, list) else keys[1], rest)
    else:
        outer, at = find(box, location[:-1])
        outer[at] = type(holder)()  # an empty one keeps no comment inside
        if isinstance(outer, CommentedMap | CommentedSeq):
            outer.ca.items.pop(at, None)
        _give(outer, at, rest)


def unshared(node: Any, seen: set[int]) -> Any:
    """
    A copy in which no two places hold the same object or array, whatever aliases there were.

    ``seen`` are the nodes copied so far: their comments are not repeated.
    """
    if not isinstance(node, dict | list):
        return node
    twin: Any = type(node)()
    if isinstance(node, CommentedMap | CommentedSeq):
        setattr(twin, Format.attrib, copy.copy(node.fa))
        setattr(twin, LineCol.attrib, copy.copy(node.lc))
        if id(node) not in seen:
            setattr(twin, Comment.attrib, copy.copy(node.ca))
            twin.ca._items = dict(node.ca.items)  # noqa: SLF001 - it has no setter
    seen.add(id(node))
    if isinstance(node, dict):
        for key, value in node.items():
            twin[key] = unshared(value, seen)
    else:
        twin.extend(unshared(item, seen) for item in node)
    return twin


def _styled(value: Any) -> Any:
    """Plain data as YAML nodes, which can carry comments."""
    if isinstance(value, dict):
        return CommentedMap((name, _styled(item)) for name, item in value.items())
    if isinstance(value, list):
        return CommentedSeq(map(_styled, value))
    return LiteralScalarString(value) if isinstance(value, str) and "\n" in value else value


# ruamel.yaml hangs the comment lines between two nodes on the first of them, at its innermost last value.
# They speak of the second: an insertion between the two, or the removal of one, has to move them.


def _tail(holder: Any, key: Any) -> tuple[Any, Any, int, bool]:
    """Where the comment below a node hangs: holder, key, position; and whether it follows block text."""
    value = holder[key]
    while isinstance(value, CommentedMap | CommentedSeq) and value and not value.fa.flow_style():
        holder, key = value, len(value) - 1 if isinstance(value, list) else list(value)[-1]
        value = holder[key]
    return (
        holder,
        key,
        0 if isinstance(holder, list) else 2,
        isinstance(value, LiteralScalarString | FoldedScalarString),
    )


def _take(holder: Any, key: Any) -> str:
    """Cut off the comment lines below a node; the one on its own line stays."""
    holder, key, at, block = _tail(holder, key)
    if not isinstance(holder, CommentedMap | CommentedSeq):
        return ""
    tokens = list(holder.ca.items.get(key, [None] * 4))
    token = tokens[at]
    if token is None:
        return ""
    column = token.start_mark.column
    own, _, rest = ("", "", " " * column + token.value) if block else token.value.partition("\n")
    tokens[at] = CommentToken(f"{own}\n", CommentMark(column)) if own else None
    holder.ca.items[key] = tokens
    return str(rest)


def _give(holder: Any, key: Any, rest: str) -> None:
    """Hang comment lines below a node."""
    holder, key, at, block = _tail(holder, key)
    if not rest or not isinstance(holder, CommentedMap | CommentedSeq):
        return
    tokens = list(holder.ca.items.get(key, [None] * 4))
    own = tokens[at]
    column = own.start_mark.column if own else 0
    tokens[at] = CommentToken((own.value if own else "" if block else "\n") + rest, CommentMark(column))
    holder.ca.items[key] = tokens


def _lead(holder: Any, key: Any, rest: str) -> None:
    """Put comment lines above the first node of an object or array."""
    if rest and isinstance(holder, CommentedMap | CommentedSeq):
        tokens = list(holder.ca.items.get(key, [None] * 4))
        tokens[1] = [CommentToken(rest, CommentMark(0)), *(tokens[1] or [])]
        holder.ca.items[key] = tokens

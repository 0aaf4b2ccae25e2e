"""Load YAML and JSON within the limits of a contract. It imports ruamel.yaml, which is slow."""

from __future__ import annotations

from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.composer import Composer
from ruamel.yaml.constructor import RoundTripConstructor
from ruamel.yaml.events import AliasEvent
from ruamel.yaml.nodes import MappingNode, ScalarNode

from mjrelay.contract.jsontext import JSONParser
from mjrelay.contract.limits import DIGITS, Size


class LimitError(Exception):
    """The document exceeds a limit in the given line."""

    def __init__(self, node: Any, message: str) -> None:
        self.line = node.start_mark.line + 1
        super().__init__(message)


def compose(text: str) -> Any:
    """Return the document with its line numbers. Raises `LimitError` and the exceptions of ruamel.yaml."""
    yaml = YAML(typ="rt")
    yaml.Composer, yaml.Constructor = _Composer, _Constructor
    return yaml.load(text)


def compose_json(text: str) -> Any:
    """Return the document of a text that is known to be JSON, as `compose` does."""
    yaml = YAML(typ="rt")
    yaml.Composer, yaml.Constructor = _Composer, _Constructor
    yaml.Parser = lambda **_: JSONParser(text)
    return yaml.constructor.get_single_data()


class _Composer(Composer):
    """A composer that stops when a document exceeds the limits."""

    _nodes = _depth = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        event = self.parser.peek_event()
        self._nodes += 1
        self._depth += not isinstance(event, AliasEvent)
        _check_size(event, Size(self._nodes, 0, self._depth))
        if (
            isinstance(event, AliasEvent)
            and getattr(self.anchors.get(event.anchor), "end_mark", event) is None
        ):
            raise LimitError(
                event,
                "the alias leads back to a node that contains it; write it out, or use a $ref to a component",
            )
        node = super().compose_node(parent, index)
        self._depth -= not isinstance(event, AliasEvent)
        return node


class _Constructor(RoundTripConstructor):
    """A constructor that refuses a document that exceeds the limits once its aliases are expanded."""

    def construct_document(self, node: Any) -> Any:
        _measure(node, {})
        return super().construct_document(node)


def _measure(node: Any, known: dict[int, Size]) -> Size:
    """Return the size of a node with its aliases expanded. ``known`` has the sizes of earlier nodes."""
    if id(node) in known:
        return known[id(node)]
    if isinstance(node, ScalarNode):
        size = Size(1, len(node.value), 1)
        if len(node.value) > DIGITS and str(node.tag).endswith((":int", ":float")):
            raise LimitError(
                node,
                f"a number has {len(node.value):,} characters, the limit is {DIGITS}; write it in quotes",
            )
    else:
        children = (
            [one for pair in node.value for one in pair] if isinstance(node, MappingNode) else node.value
        )
        size = Size.around([_measure(child, known) for child in children])
    _check_size(node, size)
    known[id(node)] = size
    return size


def _check_size(node: Any, size: Size) -> None:
    if excess := size.excess():
        raise LimitError(node, excess)

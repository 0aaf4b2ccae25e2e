"""Read JSON as the events of ruamel.yaml, so that JSON contracts keep their line numbers and limits too."""

from __future__ import annotations

import re
from json import JSONDecoder
from typing import TYPE_CHECKING, Any

from ruamel.yaml import events as yaml
from ruamel.yaml.error import StringMark
from ruamel.yaml.tag import Tag

if TYPE_CHECKING:
    from collections.abc import Iterator


_TOKEN = re.compile(r"""[\s,:]*([\[{\]}"]|[^\s,:\[{\]}"]+)""")
_DECODER = JSONDecoder()
_TAGS = {"n": "null", "t": "bool", "f": "bool"}


class JSONParser:
    """The parser of a text that is known to be JSON, with the interface of ruamel.yaml's parser."""

    def __init__(self, text: str) -> None:
        self._events = _events(text)
        self._next = next(self._events)

    def check_event(self, *kinds: type) -> bool:
        """Return whether the next event is of one of these kinds."""
        return isinstance(self._next, kinds)

    def peek_event(self) -> Any:
        """Return the next event."""
        return self._next

    def get_event(self) -> Any:
        """Return the next event and move on."""
        event, self._next = self._next, next(self._events, None)
        return event


def _events(text: str) -> Iterator[Any]:
    at, line = 0, 0
    yield yaml.StreamStartEvent()
    yield yaml.DocumentStartEvent()
    while token := _TOKEN.match(text, at):
        line += text.count("\n", at, token.start(1))
        mark = StringMark("JSON", token.start(1), line, 0, text, token.start(1))
        at = token.end()
        match token[1]:
            case "{":
                yield yaml.MappingStartEvent(None, None, True, mark, mark, flow_style=True)
            case "[":
                yield yaml.SequenceStartEvent(None, None, True, mark, mark, flow_style=True)
            case "}":
                yield yaml.MappingEndEvent(mark, mark)
            case "]":
                yield yaml.SequenceEndEvent(mark, mark)
            case '"':
                value, at = _DECODER.raw_decode(text, at - 1)
                yield _scalar("str", value, mark)
            case plain:
                number = "float" if set(plain) & set(".eE") else "int"
                yield _scalar(_TAGS.get(plain[0], number), plain, mark)
    yield yaml.DocumentEndEvent()
    yield yaml.StreamEndEvent()


def _scalar(kind: str, value: str, mark: StringMark) -> yaml.ScalarEvent:
    tag = Tag(suffix=f"tag:yaml.org,2002:{kind}")
    return yaml.ScalarEvent(
        None, tag, (False, False), value, mark, mark, style='"' if kind == "str" else None
    )

"""Build readers and relations from YAML, and responses and documents to read."""

from __future__ import annotations

from textwrap import dedent
from typing import TYPE_CHECKING, Any

from hypothesis import strategies as st
from ruamel.yaml import YAML

from mjrelay.http.exchange import Exchange, Headers
from mjrelay.semantics.compiler import compile_reader

if TYPE_CHECKING:
    from mjrelay.semantics.reader import Reader

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(0, 2 * 10**12)
    | st.floats()
    | st.text(max_size=20)
    | st.sampled_from(["", "SUCCESS", "31%", "0.5", "2024-11-03T08:17:06+14:00", "0001-01-01T00:00"])
    | st.sampled_from(["9" * 400, 10**400, -(10**4299)])
)
"""JSON scalars, with values that are difficult to read."""


def yaml(text: str) -> Any:
    """Parse YAML."""
    return YAML(typ="safe", pure=True).load(dedent(text))


def form(text: str = "") -> dict[str, Any]:
    """Return an `x-mj-task` with the required members and those in the text."""
    return {"version": 1, "ask": "$request.path.id", "id": "$.id", "states": {}} | (yaml(text) or {})


def reader(text: str = "") -> Reader:
    """Compile the `x-mj-task` that `form` returns."""
    return compile_reader(form(text))


def response(status: int | None, body: bytes = b"", content: str = "application/json") -> Exchange:
    """Return an exchange with a response."""
    headers: Headers = (("Content-Type", content),)
    return Exchange("GET", "https://relay.example/task", status=status, headers=headers, body=body)


def nested(depth: int) -> Any:
    """Return an object nested to a depth."""
    document: Any = {}
    for _ in range(depth):
        document = {"a": document}
    return document

"""Compile the matchers of `x-mj-task`, which describe responses by status, media type and document."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from attrs import field, frozen

from mjrelay.base import ContractError
from mjrelay.http import NotJSONError
from mjrelay.semantics.predicate import Predicate, compile_predicate

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mjrelay.http import Exchange


_KEYS = {"status", "content", "body", "where", "x-evidence"}


@frozen
class Matcher:
    """
    A description of a response. Only the stated parts are compared.

    ``evidence`` is the ``x-evidence`` of this matcher, if it differs from that of the Response Object.
    """

    status: int
    content: str | None
    empty: bool
    where: Mapping[str, Any] | None
    evidence: Mapping[str, Any] | None
    _predicate: Predicate | None = field(repr=False, eq=False)

    @classmethod
    def compile(cls, form: Any) -> Matcher:
        """Compile ``{status, content?, body?: empty, where?, x-evidence?}``."""
        if not isinstance(form, dict) or not isinstance(form.get("status"), int) or form.keys() - _KEYS:
            raise ContractError(f"{form!r} is not a matcher; write {{status: 404, content: …, where: …}}")
        if not isinstance(form.get("content", ""), str):
            raise ContractError(
                f"content: {form['content']!r} is not a media type; write one such as text/html"
            )
        if form.get("body", "empty") != "empty":
            raise ContractError(f"body: {form['body']!r} is not supported; the only value is 'empty'")
        if not isinstance(form.get("x-evidence", {}), dict):
            raise ContractError(
                f"x-evidence: {form['x-evidence']!r} is not an object; write {{source: …, date: …}}"
            )
        where = form.get("where")
        predicate = None if where is None else compile_predicate(where)
        evidence = form.get("x-evidence")
        return cls(form["status"], form.get("content"), "body" in form, where, evidence, predicate)

    def matches(self, exchange: Exchange) -> bool:
        """Return whether a response matches."""
        if exchange.status != self.status:
            return False
        if self.content is not None and exchange.media_type != self.content.lower():
            return False
        if self.empty and exchange.body.strip():
            return False
        if self._predicate is None:
            return True
        try:
            return self._predicate(exchange.document)
        except NotJSONError:
            return False

    def __str__(self) -> str:
        parts = [str(self.status)]
        if self.content is not None:
            parts.append(self.content)
        if self.empty:
            parts.append("with an empty body")
        if self.where is not None:
            parts.append("where " + " and ".join(f"{path} {_words(one)}" for path, one in self.where.items()))
        return " ".join(parts)


def _words(condition: Any) -> str:
    """Return a condition of a predicate in words."""
    match condition:
        case {"match": str(pattern)}:
            return f"matches {pattern}"
        case {"present": bool(present)}:
            return "is present" if present else "is missing"
        case list():
            return f"is {' or '.join(json.dumps(one, ensure_ascii=False) for one in condition)}"
        case _:
            return f"is {json.dumps(condition, ensure_ascii=False)}"

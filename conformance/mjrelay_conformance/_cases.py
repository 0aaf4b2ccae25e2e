"""
Generated requests: what schemathesis makes of a contract's fetch operation, written and mixed in more ways.

This module alone knows schemathesis, whose failures are no public interface: it is pinned exactly.
"""

from __future__ import annotations

import json
import random
import re
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeAlias
from urllib.parse import quote, unquote, urlencode

import requests
import schemathesis
from attrs import define, evolve, field, frozen
from hypothesis import strategies as st
from schemathesis.core.failures import Failure, FailureGroup

from mjrelay import _request
from mjrelay._request import Request
from mjrelay_conformance._check import Kind
from mjrelay_conformance._plan import another

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from mjrelay._contract import Contract
    from mjrelay._exchange import Exchange, Headers

Generated: TypeAlias = schemathesis.Case[Any]
_REQUEST = requests.Request("GET", "http://localhost/").prepare()
_CONTAINERS = {"path": "path_parameters", "query": "query", "header": "headers"}
_ACCEPT: Headers = (("Accept", "application/json"),)
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_OUR_OWN = {"host", "connection", "content-length", "transfer-encoding", "accept-encoding", "expect", "te"}
"""Header fields that say how the message itself is sent, lower case."""
_LONG = "Mozilla/5.0 (compatible; " + "a very long name, " * 50 + "mjrelay)"

HARMLESS: tuple[tuple[str, str], ...] = (
    ("Accept", "*/*"),
    ("Accept", "application/*;q=0.9, */*;q=0.1"),
    ("Accept", "application/json, text/plain, */*"),
    ("Accept", "text/html;q=0.1, application/json"),
    ("Accept-Language", "zh-CN,zh;q=0.9,en;q=0.1"),
    ("Accept-Language", "*"),
    ("Accept-Charset", "utf-8, iso-8859-1;q=0.5"),
    ("Cache-Control", "no-cache"),
    ("Cache-Control", "max-age=0"),
    ("Pragma", "no-cache"),
    ("DNT", "1"),
    ("Priority", "u=1, i"),
    ("Origin", "null"),
    ("X-Forwarded-For", "203.0.113.7, 198.51.100.3"),
    ("X-Request-Id", "3f2c7d1e-0000-4000-8000-000000000000"),
    ("X-Requested-With", "XMLHttpRequest"),
    ("User-Agent", _LONG),
)
"""Header fields that browsers, proxies and libraries add, none of which asks for another answer."""
_STRANGE_QUERY = ("_", "utm_source", "cache-buster", "x[]", "mjrelay")
_METHODS = ("HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE", "TRACE", "PROPFIND")
_ODD = (
    "%",
    "%2",
    "%zz",
    "%u4EFB",
    "%C0%AF",
    "%FF%FE",
    "%ED%A0%80",
    "%00",
    "%0D%0AX-Odd:%201",
    "%252F",
    "%2E%2E%2F%2E%2E",
    "a%2Fb",
    "a%3Fb=c",
    "a%23b",
    "a;b=c",
    "%7Bid%7D",
    "%20",
    "*",
    "null",
    "undefined",
    "NaN",
    "-1",
    "1e308",
    "%27%20OR%20%271%27%3D%271",
    "%E4%BB%BB%E5%8A%A1-%C3%A9",
    "%EF%BC%91%EF%BC%92%EF%BC%93",
    "%F0%9F%90%99",
    "%E2%80%AE%E2%80%8B",
    "9" * 300,
    "%61" * 1000,
)
"""Spellings of ids that are none: broken, overlong, of other scripts, or meant for what stands behind."""


@frozen
class Case:
    """
    One generated request, what it is sent for, and the task that it asks for.

    The request has no credential yet, unless it is one to be refused. ``written`` writes the names of header
    fields, in which case makes no difference.
    """

    kind: Kind
    task_id: str
    request: Request
    generated: Generated = field(repr=False)
    written: Callable[[str], str] = field(default=str, repr=False)

    def sent(self, credential: Callable[[Request], Request]) -> Request:
        """The request as it is sent, with the caller's credential where the case is one to be answered."""
        refused = self.kind in {Kind.BAD_CREDENTIAL, Kind.NO_CREDENTIAL}
        return _written(self.request if refused else credential(self.request), self.written)

    def judged(self, exchange: Exchange, judge: Callable[[], list[str]]) -> None:
        """Judge the answer as one of schemathesis's checks; ``judge`` says what is broken."""

        def check(_context: Any, _response: Any, _case: Any) -> None:
            if broken := judge():
                label = self.generated.operation.label
                raise Failure(operation=label, title=broken[0], message=", ".join(broken))

        if exchange.status is None:  # nothing that schemathesis could look at
            judge()
            return
        try:
            self.generated.validate_response(response(exchange), checks=[check])
        except FailureGroup:
            return  # the rows hold what it says, and more


@define(slots=False)
class Cases:
    """
    What can be asked of one relay, as strategies of Hypothesis.

    ``ids`` are those of tasks that are there; none of them, and none of the contract's examples, is ever
    asked for as if it were not. No credential that is made up is the ``secret``.
    """

    contract: Contract
    ids: Sequence[str]
    secret: str = field(default="", repr=False)

    def known(self) -> st.SearchStrategy[Case]:
        """Known tasks, asked for as anybody asks."""

        def cases(drawn: tuple[str, int]) -> st.SearchStrategy[Case]:
            return self.pinned(drawn[0]).map(lambda one: self.case(Kind.KNOWN, drawn[0], one))

        # A contract may leave nothing to choose, and Hypothesis makes nothing twice: hence the turns.
        return st.tuples(st.sampled_from(self.ids), st.integers(0, 2**16)).flatmap(cases)

    def missing(self) -> st.SearchStrategy[Case]:
        """What fits the schema and is no known task."""
        return self._odd(self._strategy("positive"))

    def mixed(self) -> st.SearchStrategy[Case]:
        """Known tasks, asked for in other words that mean the same."""
        return _mixed(self)

    def odd(self) -> st.SearchStrategy[Case]:
        """What is no known task, whether it fits the schema or not."""
        generated = self._odd(self._strategy("positive")) | self._odd(self._strategy("negative"))
        if self._place not in {"path", "query"}:
            return generated
        spellings = (
            st.sampled_from(_ODD)
            | st.binary(min_size=1, max_size=12).map(_all_encoded)
            | st.text(min_size=1, max_size=40).map(
                lambda text: quote(text, safe="!$&'()*+,;=:@", errors="replace")
            )
        )
        spelled = st.builds(
            lambda one, spelling: self.case(Kind.ODD, unquote(spelling, errors="replace"), one, spelling),
            self._strategy("positive"),
            spellings.filter(lambda spelling: self._unknown(unquote(spelling, errors="replace"))),
        )
        return generated | spelled

    def other_methods(self) -> st.SearchStrategy[Case] | None:
        """Known tasks, asked for with methods of which the contract says nothing."""
        item = self.contract.document["paths"][self.contract.path]
        methods = [method for method in _METHODS if method.lower() not in item]

        def case(case: Case, method: str) -> Case:
            request = evolve(case.request, method=method, body=b"")
            return evolve(case, kind=Kind.METHOD, request=request)

        return st.builds(case, self.known(), st.sampled_from(methods)) if methods and self.ids else None

    def without_credential(self) -> st.SearchStrategy[Case] | None:
        """Known tasks, asked for by nobody; None where anybody may ask."""
        return self.known().map(lambda case: evolve(case, kind=Kind.NO_CREDENTIAL)) if self._closed else None

    def bad_credentials(self) -> st.SearchStrategy[Case] | None:
        """Known tasks, asked for with secrets that are none; None where anybody may ask."""
        if not self._closed:
            return None
        made_up = st.integers(0, 2**32).map(
            lambda seed: another(self.secret, random.Random(seed), {self.secret})  # noqa: S311 - repeatable
        )
        fixed = ("null", "undefined", "0", "' OR '1'='1", "Bearer", "{}", "%00", "a" * 2000)
        wrong = st.sampled_from([one for one in fixed if one != self.secret]) | made_up
        credentials = st.sampled_from(self.contract.credentials)

        def case(case: Case, credential: Any, secret: str) -> Case:
            request = case.request.authenticated(credential, secret)
            return evolve(case, kind=Kind.BAD_CREDENTIAL, request=request)

        return st.builds(case, self.known(), credentials, wrong)

    @cached_property
    def _operation(self) -> Any:
        return schemathesis.openapi.from_dict(self.contract.document)[self.contract.path][
            self.contract.method
        ]

    @cached_property
    def _asked(self) -> tuple[str, str]:
        return _request.ask(self.contract.reader.ask)

    @property
    def _place(self) -> str:
        return self._asked[0]

    @property
    def _closed(self) -> bool:
        return bool(self.ids and self.secret and self.contract.credentials and not self.contract.open)

    @cached_property
    def taken(self) -> frozenset[str]:
        """Names that mean something to the relay, in lower case: none of them is ours to invent."""
        item = self.contract.document["paths"][self.contract.path]
        parameters = [*item.get("parameters", ()), *self.contract.operation.get("parameters", ())]
        named = {str(self.contract.resolve(one).get("name")).lower() for one in parameters}
        return frozenset(named) | self._credentials

    @cached_property
    def _credentials(self) -> frozenset[str]:
        # Those are the caller's to send: a generated one would be a bad one.
        return frozenset({one.field.lower() for one in self.contract.credentials} | {"cookie"})

    @cached_property
    def _there(self) -> frozenset[str]:
        # schemathesis likes the contract's own examples, whose ids may well be there.
        shown = {str(self.contract.reader.id(example)) for example in self.contract.examples.values()}
        return frozenset({*self.ids, *shown} - {""})

    def _strategy(self, mode: str, **pinned: Any) -> st.SearchStrategy[Generated]:
        made: st.SearchStrategy[Generated] = self._operation.as_strategy(
            generation_mode=schemathesis.GenerationMode(mode), **pinned
        )
        return made

    def pinned(self, task_id: str) -> st.SearchStrategy[Generated]:
        """Valid requests of schemathesis for one task."""
        place, name = self._asked
        if place == "body":
            return self._strategy("positive", body=_request.nested(name, task_id))
        return self._strategy("positive", **{_CONTAINERS[place]: {name: task_id}})

    def case(
        self,
        kind: Kind,
        task_id: str,
        generated: Generated,
        spelling: str | None = None,
        *,
        query: Mapping[str, str] | None = None,
        fields: Headers = _ACCEPT,
    ) -> Case:
        """A case of what schemathesis made; the id is written as the ``spelling`` says, percent-encoded."""
        place, name = self._asked
        path = generated.formatted_path
        pairs = {
            key: value
            for key, value in (generated.query or {}).items()
            if key.lower() not in self._credentials and (place, key) != ("query", name)
        }
        asked = "" if place != "query" else f"{quote(name, safe='')}={spelling or quote(task_id, safe='')}"
        if place == "path" and spelling is not None:
            path = self.contract.path.replace(f"{{{name}}}", spelling)
        parts = [asked, urlencode({**pairs, **(query or {})}, doseq=True, quote_via=quote, errors="replace")]
        target = path + "?" * any(parts) + "&".join(filter(None, parts))
        fields += tuple(
            (str(key), str(value))
            for key, value in (generated.headers or {}).items()
            if key.lower() not in self._credentials | _OUR_OWN and _sendable(str(key), str(value))
        )
        body = b""
        if place == "body":
            body = json.dumps(generated.body).encode()
            fields += (("Content-Type", "application/json"),)
        return Case(kind, task_id, Request(generated.method.upper(), target, fields, body), generated)

    def _unknown(self, task_id: str) -> bool:
        return bool(task_id) and not any(one in task_id for one in self._there)

    def _odd(self, strategy: st.SearchStrategy[Generated]) -> st.SearchStrategy[Case]:
        place, name = self._asked

        def asked(generated: Generated) -> str:
            if place == "body":
                return json.dumps(generated.body)
            return str((getattr(generated, _CONTAINERS[place]) or {}).get(name, ""))

        def able(case: Case) -> bool:
            # An id that no field can hold is never sent, and nobody's blame.
            lost = place == "header" and name.lower() not in {key.lower() for key, _ in case.request.headers}
            return not lost and self._unknown(case.task_id)

        return strategy.map(lambda one: self.case(Kind.ODD, asked(one), one)).filter(able)


def response(exchange: Exchange) -> schemathesis.Response:
    """An answer as schemathesis takes it; what it says of its own media type is judged elsewhere."""
    return schemathesis.Response(
        status_code=exchange.status or 0,
        headers={"content-type": ["application/json"]},
        content=exchange.body,
        request=_REQUEST,
        elapsed=exchange.elapsed,
        verify=True,
    )


@st.composite
def _mixed(draw: st.DrawFn, cases: Cases) -> Case:
    task_id = draw(st.sampled_from(cases.ids))
    generated = draw(cases.pinned(task_id))
    names = [name for name in _STRANGE_QUERY if name not in cases.taken]
    case = cases.case(
        Kind.KNOWN,
        task_id,
        generated,
        draw(_spelling(task_id)),
        query=draw(st.dictionaries(st.sampled_from(names), st.text(max_size=20), max_size=2)),
        fields=draw(st.lists(st.sampled_from(HARMLESS), max_size=4, unique_by=lambda one: one[0]).map(tuple)),
    )
    write: Callable[[str], str] = draw(st.sampled_from((str, str, str.lower, str.upper)))
    return evolve(case, written=write)


@st.composite
def _spelling(draw: st.DrawFn, task_id: str) -> str:
    """An id, percent-encoded where it must be and where it may be: that is the same id (RFC 3986 6.2.2.2)."""
    chosen: set[int] | range = set()
    match draw(st.integers(0, 3)):
        case 2:
            chosen = draw(st.sets(st.integers(0, len(task_id) - 1), min_size=1, max_size=3))
        case 3:
            chosen = range(len(task_id))
    digits = draw(st.sampled_from(("02X", "02x")))
    return "".join(
        _all_encoded(one.encode(), digits) if index in chosen else quote(one, safe="")
        for index, one in enumerate(task_id)
    )


def _all_encoded(data: bytes, digits: str = "02X") -> str:
    return "".join(f"%{byte:{digits}}" for byte in data)


def _sendable(name: str, value: str) -> bool:
    return bool(_TOKEN.fullmatch(name)) and value == value.strip() and value.isprintable()


def _written(request: Request, write: Callable[[str], str]) -> Request:
    headers = tuple((write(name), value) for name, value in request.headers)
    shown = None if request.shown is None else _written(request.shown, write)
    return evolve(request, headers=headers, shown=shown)

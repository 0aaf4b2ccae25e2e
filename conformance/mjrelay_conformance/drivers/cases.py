"""
Generated requests: Schemathesis generates cases for the fetch operation, and we vary their spelling.

Only this module and `stateful` use Schemathesis. Its failure classes are not public, so its version is
pinned exactly.
"""

from __future__ import annotations

import itertools
import json
import random
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TypeAlias
from urllib.parse import quote, unquote, urlencode

import requests
import schemathesis
from attrs import define, evolve, field, frozen
from hypothesis import strategies as st
from schemathesis.core import NotSet
from schemathesis.core.failures import Failure, FailureGroup

from mjrelay.base import ContractError, another_text, cached_property
from mjrelay.contract import stray_references
from mjrelay.http import Request, parse_json, path_segment
from mjrelay.semantics import body_with, parse_expression
from mjrelay_conformance.drivers.patterns import generable
from mjrelay_conformance.drivers.spellings import (
    HARMLESS,
    INVALID_IDS,
    INVALID_KEYS,
    MESSAGE_FIELDS,
    METHODS,
    UNKNOWN_PARAMETERS,
    is_field,
    percent_encoded,
    with_names,
)
from mjrelay_conformance.judging import Kind

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from mjrelay.contract import Contract
    from mjrelay.http import Exchange, Headers


Generated: TypeAlias = schemathesis.Case[Any]
_REQUEST = requests.Request("GET", "http://localhost/").prepare()
CONTAINERS = {"path": "path_parameters", "query": "query", "header": "headers"}
_ACCEPT: Headers = (("Accept", "application/json"),)


@frozen
class Case:
    """
    One generated request.

    Attributes:
        kind: The purpose of the request.
        task_id: The requested task id.
        request: The request, without the caller's credential.
        generated: The case of Schemathesis.
        spell: Changes the case of header names, which are case-insensitive.
    """

    kind: Kind
    task_id: str
    request: Request
    generated: Generated = field(repr=False)
    spell: Callable[[str], str] = field(default=str, repr=False)

    def sent(self, credential: Callable[[Request], Request]) -> Request:
        """Return the request to send, with the caller's credential unless it must be rejected."""
        # A TRACE response repeats the request, so it must not contain a secret (RFC 9110, section 9.3.8).
        bare = self.kind in {Kind.BAD_CREDENTIAL, Kind.NO_CREDENTIAL} or self.request.method == "TRACE"
        return with_names(self.request if bare else credential(self.request), self.spell)

    def judged(self, exchange: Exchange, judge: Callable[[], list[str]]) -> None:
        """Judge the response inside a Schemathesis check; ``judge`` returns the ids of failed checks."""

        def check(_context: Any, _response: Any, _case: Any) -> None:
            if broken := judge():
                label = self.generated.operation.label
                raise Failure(operation=label, title=broken[0], message=", ".join(broken))

        if exchange.status is None:  # Schemathesis needs a response
            judge()
            return
        try:
            self.generated.validate_response(response(exchange), checks=[check])
        except FailureGroup:
            return  # the rows contain the findings


@frozen
class Source:
    """A source of cases: a strategy for ids and Schemathesis cases, and how we turn them into a `Case`."""

    drawn: st.SearchStrategy[tuple[str, Generated]] = field(repr=False)
    case: Callable[[str, Generated], Case] = field(repr=False)


@define(slots=False)
class Cases:
    """
    The sources of generated requests for one relay.

    Attributes:
        contract: The contract of the relay.
        ids: The ids of existing tasks. Neither these nor the ids of the contract's examples are requested as
            unknown ids.
        secret: The caller's API key, which no made-up credential equals.
        chance: Chooses what Schemathesis does not, because Hypothesis prefers to repeat choices.
    """

    contract: Contract
    ids: Sequence[str]
    secret: str = field(default="", repr=False)
    chance: random.Random = field(factory=random.Random, repr=False)

    def known(self, kind: Kind = Kind.KNOWN) -> Source:
        """Return ordinary requests for known tasks."""
        return Source(self._known, lambda task_id, generated: self._case(kind, task_id, generated))

    def mixed(self) -> Source:
        """Return requests for known tasks in other, equivalent spellings."""
        names = [name for name in UNKNOWN_PARAMETERS if name not in self._taken]

        def case(task_id: str, generated: Generated) -> Case:
            fields = dict(self.chance.sample(HARMLESS, self.chance.randrange(5)))
            query = {
                name: self._text() for name in self.chance.sample(names, self.chance.choice((0, 0, 1, 2)))
            }
            one = self._case(
                Kind.KNOWN,
                task_id,
                generated,
                self._spelling(task_id),
                query=query,
                fields=tuple(fields.items()),
            )
            return evolve(one, spell=self.chance.choice((str, str, str.lower, str.upper)))

        return Source(self._known, case)

    def missing(self) -> Source:
        """Return requests for ids that match the schema and do not exist."""
        return Source(
            self._odd(self._strategy()), lambda task_id, generated: self._case(Kind.ODD, task_id, generated)
        )

    def odd(self) -> Source:
        """Return requests for ids that do not exist, whether they match the schema or not."""
        spellings = self._each(INVALID_IDS)
        negative = self._operation.as_strategy(generation_mode=schemathesis.GenerationMode.NEGATIVE)

        def case(task_id: str, generated: Generated) -> Case:
            if self._parameter[0] not in {"path", "query"} or self.chance.random() < 1 / 3:
                return self._case(Kind.ODD, task_id, generated)
            read = ""
            while not self._unknown(read):
                trick = self.chance.random() < 2 / 3
                spelling = next(spellings) if trick else percent_encoded(self.chance.randbytes(8))
                read = unquote(spelling, errors="replace")
            return self._case(Kind.ODD, read, generated, spelling)

        return Source(self._odd(self._strategy()) | self._odd(negative), case)

    def other_methods(self) -> Source:
        """Return requests for known tasks with methods that the contract does not describe."""
        item = self.contract.document["paths"][self.contract.path]
        methods = self._each([method for method in METHODS if method.lower() not in item])

        def case(task_id: str, generated: Generated) -> Case:
            one = self._case(Kind.METHOD, task_id, generated)
            return evolve(one, request=evolve(one.request, method=next(methods), body=b""))

        return Source(self._known, case)

    def bad_credentials(self) -> Source:
        """Return requests for known tasks with invalid API keys."""
        invented = [another_text(self.secret, self.chance, {self.secret}) for _ in range(3)]
        secrets = self._each([one for one in (*invented, *INVALID_KEYS) if one != self.secret])

        def case(task_id: str, generated: Generated) -> Case:
            credential = self.chance.choice(self.contract.credentials)
            one = self._case(Kind.BAD_CREDENTIAL, task_id, generated)
            return evolve(one, request=one.request.authenticated(credential, next(secrets)))

        return Source(self._known, case)

    @property
    def closed(self) -> bool:
        """Whether requests without a valid API key must be rejected, and can be sent."""
        return bool(self.ids and self.secret and self.contract.credentials and not self.contract.open)

    @cached_property
    def _operation(self) -> Any:
        return self._loaded(self.contract.operation)

    @cached_property
    def _open_operation(self) -> Any:
        """The operation without security, so that Schemathesis generates no credentials."""
        return self._loaded({**self.contract.operation, "security": []})

    def _loaded(self, operation: Any) -> Any:
        _, path, method = self.contract.location
        item = {**self.contract.document["paths"][path], method: {**operation, **self._declared}}
        return load_paths(self.contract, {str(path): item})[str(path)][self.contract.method]

    @property
    def _declared(self) -> dict[str, Any]:
        """
        The declaration of the id in the operation: its parameter, or one JSON body.

        A contract may leave it out, and Schemathesis generates only what is declared.
        """
        place, name = self._parameter
        operation = self.contract.operation
        if place == "body":
            declared = self.contract.resolve(operation.get("requestBody", {})).get("content", {})
            media_type = next(filter(_is_json, declared), "application/json")
            return {"requestBody": {"required": True, "content": {media_type: declared.get(media_type, {})}}}
        if (place, name.lower()) in {
            (one.get("in"), str(one.get("name")).lower()) for one in self.contract.parameters()
        }:
            return {}
        parameter = {"name": name, "in": place, "required": True, "schema": {"type": "string"}}
        return {"parameters": [*operation.get("parameters", ()), parameter]}

    @cached_property
    def _parameter(self) -> tuple[str, str]:
        return parse_expression(self.contract.reader.ask)

    @cached_property
    def _taken(self) -> frozenset[str]:
        """Names of parameters that the relay uses, in lower case."""
        named = (str(one.get("name")).lower() for one in self.contract.parameters())
        return frozenset(named) | self._credentials

    @cached_property
    def _credentials(self) -> frozenset[str]:
        # A generated credential would be a wrong one.
        return frozenset({one.field.lower() for one in self.contract.credentials} | {"cookie"})

    @cached_property
    def _existing(self) -> frozenset[str]:
        # Schemathesis prefers the contract's own examples, whose tasks may exist.
        examples = {str(self.contract.reader.id(example)) for example in self.contract.examples.values()}
        return frozenset({*self.ids, *examples} - {""})

    def _strategy(self, **pinned: Any) -> st.SearchStrategy[Generated]:
        strategy: st.SearchStrategy[Generated] = self._open_operation.as_strategy(**pinned)
        return strategy

    @property
    def _known(self) -> st.SearchStrategy[tuple[str, Generated]]:
        place, name = self._parameter

        def drawn(turn: tuple[str, int]) -> st.SearchStrategy[tuple[str, Generated]]:
            task_id, _ = turn
            pinned = {} if place == "body" else {CONTAINERS[place]: {name: task_id}}
            if body := self.contract.request(task_id).body:
                pinned["body"] = parse_json(body)
            return st.tuples(st.just(task_id), self._strategy(**pinned))

        # Hypothesis never repeats an example, so a number is drawn where the contract leaves no choice.
        return st.tuples(st.sampled_from(self.ids), st.integers(0, 2**16)).flatmap(drawn)

    def _odd(self, strategy: st.SearchStrategy[Generated]) -> st.SearchStrategy[tuple[str, Generated]]:
        place, name = self._parameter

        def with_id(generated: Generated) -> tuple[str, Generated]:
            if place == "body":
                return self._payload(generated).decode("utf-8", "replace"), generated
            return str((getattr(generated, CONTAINERS[place]) or {}).get(name, "")), generated

        def able(drawn: tuple[str, Generated]) -> bool:
            return self._unknown(drawn[0]) and (place != "header" or is_field(name, drawn[0]))

        return strategy.map(with_id).filter(able)

    def _unknown(self, task_id: str) -> bool:
        return bool(task_id) and not any(one in task_id for one in self._existing)

    @cached_property
    def _constants(self) -> dict[str, dict[str, Any]]:
        """The constants of the fetch request: by their place, then by name or pointer."""
        constants: dict[str, dict[str, Any]] = {"query": {}, "header": {}, "body": {}}
        for expression, value in self.contract.reader.constants.items():
            place, name = parse_expression(expression)
            constants[place][name] = value
        return constants

    def _payload(self, generated: Generated) -> bytes:
        """Return the body to send: JSON, bytes that Schemathesis generated as invalid JSON, or nothing."""
        body = generated.body
        if isinstance(body, NotSet):
            return b""
        if isinstance(body, dict):
            with suppress(ContractError):  # an invalid body may have another shape
                body = body_with(self._constants["body"], body)
        # Unescaped, so that an id in it can be found.
        return (
            body
            if isinstance(body, bytes)
            else json.dumps(body, ensure_ascii=False).encode("utf-8", "surrogatepass")
        )

    def _each(self, of: Sequence[str]) -> Iterator[str]:
        """Cycle through values in random order."""
        return itertools.cycle(self.chance.sample(of, len(of)))

    def _text(self) -> str:
        return "".join(
            chr(self.chance.choice((self.chance.randrange(32, 127), 0xE9, 0x4EFB))) for _ in range(5)
        )

    def _spelling(self, task_id: str) -> str:
        """Percent-encode an id where necessary and in random other places (RFC 3986, section 6.2.2.2)."""
        every = range(len(task_id))
        chosen = self.chance.choice(((), (), self.chance.sample(every, min(2, len(every))), every))
        digits = self.chance.choice(("02X", "02x"))
        return "".join(
            percent_encoded(one.encode(), digits) if index in chosen else quote(one, safe="")
            for index, one in enumerate(task_id)
        )

    def _case(
        self,
        kind: Kind,
        task_id: str,
        generated: Generated,
        spelling: str | None = None,
        *,
        query: Mapping[str, str] | None = None,
        fields: Headers = _ACCEPT,
    ) -> Case:
        """Turn a case of Schemathesis into a `Case`; ``spelling`` is the percent-encoded id."""
        place, name = self._parameter
        spelling = spelling or path_segment(task_id.encode("utf-8", "replace").decode())
        path = self.contract.path.replace(f"{{{name}}}", spelling) if place == "path" else self.contract.path
        constants = self._constants
        pairs = {
            key: value
            for key, value in {**(generated.query or {}), **constants["query"]}.items()
            if key.lower() not in self._credentials and (place, key) != ("query", name)
        }
        own = f"{quote(name, safe='')}={spelling}" if place == "query" else ""
        parts = [own, urlencode({**pairs, **(query or {})}, doseq=True, quote_via=quote, errors="replace")]
        target = path + "?" * any(parts) + "&".join(filter(None, parts))
        fields += tuple(
            (str(key), str(value))
            for key, value in {**dict(generated.headers or {}), **constants["header"]}.items()
            if key.lower() not in self._credentials | MESSAGE_FIELDS and is_field(str(key), str(value))
        )
        body = b""
        if place == "body" or constants["body"]:
            body = self._payload(generated)
            fields += (("Content-Type", "application/json"),)
        return Case(kind, task_id, Request(generated.method.upper(), target, fields, body), generated)


def load_paths(contract: Contract, paths: Mapping[str, Any]) -> Any:
    """Load a contract with these paths into Schemathesis; raises `ContractError` for a remote reference."""
    # Schemathesis resolves remote references, and has no option against it.
    for location, problem in stray_references(contract.document):
        clause = contract.clause(*location)
        raise ContractError(problem, source=clause.file, line=clause.line)
    return schemathesis.openapi.from_dict(generable({**contract.document, "paths": paths}))


def response(exchange: Exchange) -> schemathesis.Response:
    """Convert a response for Schemathesis; the media type is replaced, since a check judges it."""
    return schemathesis.Response(
        status_code=exchange.status or 0,
        headers={"content-type": ["application/json"]},
        content=exchange.body,
        request=_REQUEST,
        elapsed=exchange.elapsed,
        verify=True,
    )


def _is_json(media_type: str) -> bool:
    return media_type.partition(";")[0].strip().lower().endswith(("/json", "+json"))

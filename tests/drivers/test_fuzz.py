"""The property-based phase against the mock: its requests, and its findings."""

from __future__ import annotations

import copy
from collections import Counter
from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

import pytest
from attrs import define, field
from mjrelay_conformance.checks import CHECKS
from mjrelay_conformance.drivers import fuzz as _fuzz
from mjrelay_conformance.judging.checking import Outcome
from mjrelay_conformance.judging.checking import judge_observation as judge_rows
from mjrelay_conformance.judging.observation import REFUSED, Kind, Observation
from mjrelay_conformance.judging.schema import schema_of
from mjrelay_conformance.mock.relay import MockRelay
from sampled import SEVERAL

from mjrelay.contract.document import Contract
from mjrelay.contract.loading import load_contract
from mjrelay.http.exchange import Exchange

if TYPE_CHECKING:
    from collections.abc import Callable

    from mjrelay.http.request import Request

KEY = "the-key-of-the-mock"


@define
class Phase:
    """The phase against a mock without sockets, with its requests and findings."""

    mock: MockRelay
    ids: list[str]
    stopped: Callable[[], bool] = lambda: False
    requests: list[Request] = field(factory=list)
    exchanges: list[tuple[Kind, str, Exchange]] = field(factory=list)
    findings: list[str] = field(factory=list)
    error: Exception | None = None
    earlier: list[Observation] = field(factory=list)
    pauses: int = 0

    @classmethod
    def of(cls, relay: str | Contract, *faults: str) -> Phase:
        """Create the phase for a relay's mock and its tasks."""
        mock = MockRelay(load_contract(relay) if isinstance(relay, str) else relay, key=KEY, faults=faults)
        return cls(mock, sorted(mock.known.values()))

    def run(self, mode: str, *, cases: int = 50, seed: int = 0, secret: str = KEY) -> int:
        """Run the phase, and return the number of requests."""
        return _fuzz.run(
            self.mock.contract,
            self.send,
            self.judge,
            ids=self.ids,
            credential=self.authenticated,
            secret=secret,
            cases=cases,
            seed=seed,
            mode=mode,
            may_send=self.may_send,
            stopped=self.stopped,
        )

    def send(self, request: Request) -> Exchange:
        """Return the mock's response."""
        self.requests.append(request)
        response = self.mock.answer(request.method, request.target, request.headers, request.body)
        url = f"http://relay.test{request.target}"
        return Exchange(
            request.method,
            url,
            status=response.status,
            headers=response.headers,
            body=response.body[: response.cut],
        )

    def judge(self, kind: Kind, task_id: str, exchange: Exchange) -> list[str]:
        """Return the ids of failed checks."""
        self.exchanges.append((kind, task_id, exchange))
        if self.error is not None:
            raise self.error
        one = self.mock.contract
        before = tuple(o for o in self.earlier if (kind, task_id) == (o.kind, o.task_id))
        observation = Observation(
            one,
            schema_of(one),
            kind,
            task_id,
            exchange,
            earlier=before,
            accepted=True,
            secrets=(KEY,),
        )
        self.earlier.append(observation)
        rows = judge_rows(observation, len(self.exchanges), CHECKS.values())
        found = [row.check for row in rows if row.outcome in {Outcome.FAIL, Outcome.ERROR}]
        self.findings += found
        return found

    def authenticated(self, request: Request) -> Request:
        """Return the request with the mock's API key."""
        one = self.mock.contract
        return request.authenticated(one.credentials[0], KEY) if one.credentials else request

    def may_send(self, _: Kind) -> bool:
        """Count the pauses between requests."""
        self.pauses += 1
        return not self.stopped()

    @property
    def kinds(self) -> Counter[Kind]:
        """The number of requests of each kind."""
        return Counter(kind for kind, _, _ in self.exchanges)


@pytest.mark.parametrize("relay", SEVERAL)
def test_a_gentle_run_sends_ordinary_requests(relay: str) -> None:
    """It fetches with the caller's key, four fifths for known tasks; a correct relay has no finding."""
    phase = Phase.of(relay)
    assert phase.run("gentle") == len(phase.requests) == phase.pauses == 50
    assert phase.findings == []
    assert phase.kinds == {Kind.KNOWN: 40, Kind.ODD: 10}
    one = phase.mock.contract
    for request, (kind, task_id, exchange) in zip(phase.requests, phase.exchanges, strict=True):
        assert request.method == "GET"
        own = (one.credentials[0].field, one.credentials[0].value(KEY))
        assert one.open or own in request.headers
        if kind is Kind.KNOWN:
            assert exchange.status == 200
            assert request == phase.authenticated(one.request(task_id))


@pytest.mark.parametrize("relay", SEVERAL)
def test_a_full_run_varies_requests(relay: str) -> None:
    """
    It varies spelling, query, headers, methods and credentials, and finds nothing in a correct relay.

    No unknown id is that of an existing task or an example, and no wrong key is the caller's.
    """
    phase = Phase.of(relay)
    one = phase.mock.contract
    examples = {str(one.reader.id(example)) for example in one.examples.values()}
    phase.run("full", cases=100)
    assert phase.findings == []
    known = []
    for request, (kind, task_id, exchange) in zip(phase.requests, phase.exchanges, strict=True):
        if kind is Kind.KNOWN:
            known.append(request)
            assert exchange.status == 200
            assert unquote(task_id) in phase.ids
        if kind is Kind.ODD:
            assert task_id
            assert not [id_ for id_ in examples if id_ in unquote(request.target)]
        if kind in REFUSED:
            assert KEY not in str([request.target, request.headers])
    in_path = one.reader.ask.startswith("$request.path.")
    assert any("%3" in urlsplit(request.target).path for request in known) is in_path
    assert any("?" in request.target for request in known)
    names = {name for request in known for name, _ in request.headers}
    assert {"X-Forwarded-For", "ACCEPT-LANGUAGE"} <= names
    own = one.credentials[0].field
    assert one.open or {own.lower(), own.upper()} & names - {own}
    refused = set() if one.open else {Kind.BAD_CREDENTIAL, Kind.NO_CREDENTIAL}
    assert phase.kinds.keys() == {Kind.KNOWN, Kind.ODD, Kind.METHOD} | refused
    kinds = [kind for kind, _, _ in phase.exchanges]
    last = sum(phase.kinds[kind] for kind in REFUSED)
    assert last <= 6
    assert set(kinds[len(kinds) - last :]) <= REFUSED  # a relay that bans such clients has answered the rest


@pytest.mark.parametrize("mode", ["gentle", "full"])
def test_a_seed_generates_the_same_requests(mode: str) -> None:
    """The same seed generates the same requests, another seed others."""
    first, again, other = (Phase.of("zhongzhuan") for _ in range(3))
    first.run(mode, seed=7, cases=20)
    again.run(mode, seed=7, cases=20)
    other.run(mode, seed=8, cases=20)
    assert first.requests == again.requests
    assert first.requests != other.requests


def test_an_open_relay_gets_no_wrong_key() -> None:
    """A relay without authentication has nothing to reject."""
    one = load_contract("apiai")
    document = copy.deepcopy(one.document)
    document["paths"][one.path]["get"]["security"] = [{}]
    phase = Phase.of(Contract("apiai", document, one.source))
    phase.run("full")
    assert not REFUSED & phase.kinds.keys()
    assert phase.findings == []


def test_without_known_tasks_only_unknown_ids_are_requested() -> None:
    """Ids of existing tasks are never made up."""
    for mode in ("gentle", "full"):
        phase = Phase.of("mjdjourney")
        phase.ids = []
        assert phase.run(mode, cases=10) == 10
        assert phase.kinds == {Kind.ODD: 10}
        assert phase.findings == []


def sixth(sent: list[Any]) -> bool:
    """Return whether six requests were sent."""
    return len(sent) >= 6


def test_the_number_of_requests_is_exact() -> None:
    """As many requests are sent as requested, and none after the run has stopped."""
    for mode in ("gentle", "full"):
        for cases in (0, 1, 7):
            phase = Phase.of("apiai")
            assert phase.run(mode, cases=cases) == len(phase.requests) == cases
        phase = Phase.of("apiai")
        phase.stopped = partial(sixth, phase.requests)
        assert phase.run(mode) == len(phase.requests) == 6


def test_an_exception_ends_the_phase() -> None:
    """An exception while judging is raised, and the request is not repeated."""
    phase = Phase.of("apiai")
    phase.error = OSError("the disk is full")
    with pytest.raises(OSError, match="the disk is full"):
        phase.run("full")
    assert len(phase.requests) == 1


class Echoing(MockRelay):
    """A mock that answers TRACE as a servlet container does: with the request, headers included."""

    def answer(self, method: str, target: str, headers: Any = (), body: bytes = b"") -> Any:
        """Return the mock's response, or the request."""
        response = super().answer(method, target, headers, body)
        if method != "TRACE":
            return response
        request = "".join(
            [f"TRACE {target} HTTP/1.1\r\n", *(f"{name}: {value}\r\n" for name, value in headers)]
        )
        return type(response)(405, (("allow", "GET"), ("content-type", "message/http")), request.encode())


def test_trace_is_sent_without_the_key() -> None:
    """A relay that echoes TRACE, as HTTP requires, leaks no secret and has no finding."""
    mock = Echoing(load_contract("zhongzhuan"), key=KEY)
    phase = Phase(mock, sorted(mock.known.values()))
    phase.run("full", cases=200)
    traces = [request for request in phase.requests if request.method == "TRACE"]
    assert traces
    assert all(KEY not in str((request.target, request.headers)) for request in traces)
    assert phase.findings == []


class Literal(MockRelay):
    """A mock that does not decode ids."""

    def answer(self, method: str, target: str, *rest: Any) -> Any:
        """Return the mock's response; an id that is encoded without need does not exist."""
        return super().answer(method, target.replace("%3", "%253"), *rest)


def test_a_relay_that_does_not_decode_ids_is_found() -> None:
    """A known task that is missing by its percent-encoded id is a finding in full mode only."""
    phase = Phase.of("zhongzhuan")
    phase.mock = Literal(load_contract("zhongzhuan"), key=KEY)
    phase.run("gentle", cases=20)
    assert phase.findings == []
    phase.run("full")
    assert "fetch/known/status" in phase.findings

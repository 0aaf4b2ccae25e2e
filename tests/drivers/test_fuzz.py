"""The property-based phase over the mock: what it sends, how that is judged, and what is found."""

from __future__ import annotations

import copy
from collections import Counter
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

import pytest
from attrs import define, field
from mjrelay_conformance.checks import registry as _families  # noqa: F401 - registers every check
from mjrelay_conformance.drivers import fuzz as _fuzz
from mjrelay_conformance.judging.checking import CHECKS, Outcome
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
    """The phase over a mock without sockets, and all that it sent and found."""

    mock: MockRelay
    ids: list[str]
    spent: Callable[[], bool] = lambda: False
    requests: list[Request] = field(factory=list)
    exchanges: list[tuple[Kind, str, Exchange]] = field(factory=list)
    findings: list[str] = field(factory=list)
    trouble: Exception | None = None
    earlier: list[Observation] = field(factory=list)
    pauses: int = 0

    @classmethod
    def of(cls, relay: str | Contract, *faults: str) -> Phase:
        """The phase for a relay's mock with the tasks it knows."""
        mock = MockRelay(load_contract(relay) if isinstance(relay, str) else relay, key=KEY, faults=faults)
        return cls(mock, sorted(mock.known.values()))

    def run(self, mode: str, *, cases: int = 50, seed: int = 0, secret: str = KEY) -> int:
        """The number of cases sent."""
        return _fuzz.run(
            self.mock.contract,
            self,
            self.judge,
            ids=self.ids,
            credential=self.authenticated,
            secret=secret,
            cases=cases,
            seed=seed,
            mode=mode,
            pace=self.pause,
            spent=self.spent,
        )

    def send(self, request: Request) -> Exchange:
        """What the mock answers."""
        self.requests.append(request)
        answer = self.mock.answer(request.method, request.target, request.headers, request.body)
        url = f"http://relay.test{request.target}"
        return Exchange(
            request.method, url, status=answer.status, headers=answer.headers, body=answer.body[: answer.cut]
        )

    def judge(self, kind: Kind, task_id: str, exchange: Exchange) -> list[str]:
        """The checks that found something."""
        self.exchanges.append((kind, task_id, exchange))
        if self.trouble is not None:
            raise self.trouble
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
        broken = [row.check for row in rows if row.outcome in {Outcome.FAIL, Outcome.ERROR}]
        self.findings += broken
        return broken

    def authenticated(self, request: Request) -> Request:
        """The request with the key that the mock knows."""
        one = self.mock.contract
        return request if one.open else request.authenticated(one.credentials[0], KEY)

    def pause(self) -> None:
        """Count the pauses between requests."""
        self.pauses += 1

    @property
    def kinds(self) -> Counter[Kind]:
        """How many cases were sent for what."""
        return Counter(kind for kind, _, _ in self.exchanges)


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("mode", ["gentle", "full"])
@pytest.mark.parametrize("relay", SEVERAL)
def test_a_correct_relay_has_no_finding(relay: str, mode: str, seed: int) -> None:
    """Whatever is generated, nothing is said against the mock, and most cases reach a task."""
    phase = Phase.of(relay)
    assert phase.run(mode, seed=seed) == len(phase.requests) == 50
    assert phase.findings == []
    reached = [kind for kind, _, exchange in phase.exchanges if exchange.status == 200]
    assert reached.count(Kind.KNOWN) >= 30
    assert reached.count(Kind.KNOWN) == phase.kinds[Kind.KNOWN]
    assert phase.pauses == 50


@pytest.mark.parametrize("mode", ["gentle", "full"])
def test_a_seed_makes_the_same_cases(mode: str) -> None:
    """The requests are those of the seed: the same again, and others for another."""
    first, again, other = (Phase.of("zhongzhuan") for _ in range(3))
    first.run(mode, seed=7)
    again.run(mode, seed=7)
    other.run(mode, seed=8)
    assert first.requests == again.requests
    assert first.requests != other.requests


@pytest.mark.parametrize("relay", SEVERAL)
def test_a_gentle_run_asks_as_anybody_asks(relay: str) -> None:
    """It sends GET of the fetch operation with the caller's own key alone, four of five for known tasks."""
    phase = Phase.of(relay)
    phase.run("gentle")
    assert phase.kinds == {Kind.KNOWN: 40, Kind.ODD: 10}
    one = phase.mock.contract
    for request, (kind, task_id, _) in zip(phase.requests, phase.exchanges, strict=True):
        assert request.method == "GET"
        own = (one.credentials[0].field, one.credentials[0].value(KEY))
        assert one.open or own in request.headers
        if kind is Kind.KNOWN:
            assert request == phase.authenticated(one.request(task_id))


@pytest.mark.parametrize("relay", SEVERAL)
def test_a_full_run_asks_in_other_words(relay: str) -> None:
    """Among the cases are encoded ids, unknown parameters, added fields, and names of another case."""
    phase = Phase.of(relay)
    phase.run("full", cases=100)
    known = [
        request
        for request, (kind, _, _) in zip(phase.requests, phase.exchanges, strict=True)
        if kind is Kind.KNOWN
    ]
    one = phase.mock.contract
    in_path = one.reader.ask.startswith("$request.path.")
    assert any("%3" in urlsplit(request.target).path for request in known) is in_path
    assert any("?" in request.target for request in known)
    names = {name for request in known for name, _ in request.headers}
    assert {"X-Forwarded-For", "ACCEPT-LANGUAGE"} <= names
    own = one.credentials[0].field
    assert one.open or {own.lower(), own.upper()} & names - {own}
    assert all(unquote(task_id) in phase.ids for kind, task_id, _ in phase.exchanges if kind is Kind.KNOWN)
    refused = set() if one.open else {Kind.BAD_CREDENTIAL, Kind.NO_CREDENTIAL}
    assert phase.kinds.keys() == {Kind.KNOWN, Kind.ODD, Kind.METHOD} | refused
    assert sum(phase.kinds[kind] for kind in REFUSED) <= 6


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("relay", SEVERAL)
def test_nothing_that_may_be_there_is_asked_for_as_if_it_were_not(relay: str, seed: int) -> None:
    """No odd id is a known one or one of the contract's examples, and no bad credential is the key."""
    phase = Phase.of(relay)
    shown = {str(phase.mock.contract.reader.id(one)) for one in phase.mock.contract.examples.values()}
    phase.ids = phase.ids[:1]
    phase.run("full", cases=100, seed=seed)
    for request, (kind, task_id, _) in zip(phase.requests, phase.exchanges, strict=True):
        if kind is Kind.ODD:
            assert not [one for one in shown if one in unquote(request.target)]
            assert task_id
        if kind in REFUSED:
            assert KEY not in str([request.target, request.headers])


def test_bad_credentials_come_last() -> None:
    """A relay that bans whoever tries keys has answered everything else before."""
    phase = Phase.of("zhongzhuan")
    phase.run("full", cases=100)
    kinds = [kind for kind, _, _ in phase.exchanges]
    first = min(kinds.index(kind) for kind in (Kind.BAD_CREDENTIAL, Kind.NO_CREDENTIAL))
    assert set(kinds[first:]) == {Kind.BAD_CREDENTIAL, Kind.NO_CREDENTIAL}


def test_an_open_relay_is_tried_with_no_bad_credential() -> None:
    """Where anybody may ask nothing is to be refused."""
    one = load_contract("apiai")
    document = copy.deepcopy(one.document)
    document["paths"][one.path]["get"]["security"] = [{}]
    phase = Phase.of(Contract("apiai", document, one.source))
    phase.run("full")
    assert not REFUSED & phase.kinds.keys()
    assert phase.findings == []


@pytest.mark.parametrize("mode", ["gentle", "full"])
def test_without_known_tasks_only_odd_ids_are_asked_for(mode: str) -> None:
    """Nobody's task is made up."""
    phase = Phase.of("mjdjourney")
    phase.ids = []
    assert phase.run(mode, cases=20) == 20
    assert phase.kinds == {Kind.ODD: 20}
    assert phase.findings == []


@pytest.mark.parametrize("cases", [0, 1, 4, 7, 33])
@pytest.mark.parametrize("mode", ["gentle", "full"])
def test_the_number_of_cases_is_a_cap(mode: str, cases: int) -> None:
    """As many are sent as asked for, and none besides."""
    phase = Phase.of("apiai")
    assert phase.run(mode, cases=cases) == len(phase.requests) == cases


@pytest.mark.parametrize("mode", ["gentle", "full"])
def test_a_spent_relay_is_left_alone(mode: str) -> None:
    """Once the relay is spent nothing more is sent, whatever is left."""
    phase = Phase.of("apiai")
    phase.spent = lambda: len(phase.requests) >= 6
    assert phase.run(mode) == len(phase.requests) == 6


def test_an_error_of_ours_is_raised_and_nothing_sent_again() -> None:
    """What goes wrong while judging ends the phase as it is; the case is not repeated to see it again."""
    phase = Phase.of("apiai")
    phase.trouble = OSError("the disk is full")
    with pytest.raises(OSError, match="the disk is full"):
        phase.run("full")
    assert len(phase.requests) == 1


class Echoing(MockRelay):
    """A mock that answers TRACE as a servlet container does: with the request, its header fields included."""

    def answer(self, method: str, target: str, headers: Any = (), body: bytes = b"") -> Any:
        """The mock's answer, or the request."""
        answer = super().answer(method, target, headers, body)
        if method != "TRACE":
            return answer
        request = "".join(
            [f"TRACE {target} HTTP/1.1\r\n", *(f"{name}: {value}\r\n" for name, value in headers)]
        )
        return type(answer)(405, (("allow", "GET"), ("content-type", "message/http")), request.encode())


@pytest.mark.parametrize("relay", SEVERAL)
def test_trace_is_sent_without_the_key(relay: str) -> None:
    """A relay that echoes TRACE, which HTTP wants, shows no secret and is not blamed."""
    mock = Echoing(load_contract(relay), key=KEY)
    phase = Phase(mock, sorted(mock.known.values()))
    phase.run("full", cases=400)
    traces = [request for request in phase.requests if request.method == "TRACE"]
    assert traces
    assert all(KEY not in str((request.target, request.headers)) for request in traces)
    assert phase.findings == []


class Literal(MockRelay):
    """A mock that takes an id as it is written."""

    def answer(self, method: str, target: str, *rest: Any) -> Any:
        """The mock's answer; what is encoded without need is an id of its own."""
        return super().answer(method, target.replace("%3", "%253"), *rest)


def test_a_relay_that_takes_encoded_ids_for_others_is_found_out() -> None:
    """A known task that is not there when its id is percent-encoded is a finding, if not a gentle one."""
    phase = Phase.of("zhongzhuan")
    phase.mock = Literal(load_contract("zhongzhuan"), key=KEY)
    phase.run("gentle")
    assert phase.findings == []
    phase.run("full")
    assert "fetch/known/status" in phase.findings

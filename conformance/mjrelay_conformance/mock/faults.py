"""
Named faults: the ways in which a mock relay can be wrong on purpose.

A fault finds its places through the contract, its schema and its `x-mj-task`, and touches no more than its
summary says. Unless that says otherwise it hits every task that is there, in every state.
"""

from __future__ import annotations

import difflib
from enum import StrEnum
from typing import TYPE_CHECKING

from attrs import field, frozen

from mjrelay.base import MjrelayError
from mjrelay.http import Exchange
from mjrelay.semantics import State
from mjrelay_conformance.mock import document_faults as _damage
from mjrelay_conformance.mock import response as _answer
from mjrelay_conformance.mock import response_faults as _spoil
from mjrelay_conformance.mock import routing_faults as _detour
from mjrelay_conformance.mock.change import TASK, Change, examples
from mjrelay_conformance.mock.response import Call, Route

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from mjrelay.contract import Contract
    from mjrelay_conformance.mock.change import Finish


class UnknownFaultError(MjrelayError):
    """No fault has this name; ``near`` holds the likely ones."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.near = difflib.get_close_matches(name, FAULTS, n=3, cutoff=0.5)
        near = f"did you mean {' or '.join(self.near)}? " if self.near else ""
        super().__init__(
            f"no fault is called {name!r}; {near}list them with: mjrelay mock RELAY --list-faults"
        )


class InapplicableFaultError(MjrelayError):
    """The contract gives a fault no place; ``name`` is the fault's, ``relay`` the contract's."""

    def __init__(self, name: str, relay: str) -> None:
        self.name, self.relay = name, relay
        super().__init__(
            f"fault {name} has no place in the contract of {relay}: {FAULTS[name].summary} "
            "Leave it out, or choose another one."
        )


class Phase(StrEnum):
    """Which part of a run can see a fault: the fixed requests, or only the generated ones."""

    PLAN = "plan"
    FUZZ = "fuzz"


@frozen
class Fault(Change):
    """
    One way of being wrong.

    ``breaks`` are the ids of checks, of which one at least finds it; several where contracts differ.
    """

    breaks: tuple[str, ...]
    phase: Phase = field(default=Phase.PLAN, kw_only=True)


def select(names: Iterable[str], contract: Contract) -> tuple[Fault, ...]:
    """
    The faults of these names, in order.

    Raises `UnknownFaultError` for a name that is none, `InapplicableFaultError` for a fault that the contract
    gives no place.
    """
    faults = []
    for name in names:
        if name not in FAULTS:
            raise UnknownFaultError(name)
        if not FAULTS[name].applies(contract):
            raise InapplicableFaultError(name, contract.name)
        faults.append(FAULTS[name])
    return tuple(faults)


# What a contract has.


def _refuses(contract: Contract) -> bool:
    return bool(contract.credentials) and not contract.open


def _has_tasks(contract: Contract) -> bool:
    return any(True for _ in examples(contract))


def _lists(contract: Contract) -> bool:
    return contract.batch is not None


def _no_elsewhere(contract: Contract) -> bool:
    return not contract.reader.elsewhere


def _never_empty(contract: Contract) -> bool:
    """Whether a 200 without a body is none of the contract's answers, such as that the task is missing."""
    empty = Exchange("GET", "", status=200)
    return not any(matcher.matches(empty) for matcher in contract.reader.missing)


def _in_path(contract: Contract) -> bool:
    return contract.reader.ask.startswith("$request.path.")


def _wrong_when(route: Route, finish: Finish, breaks: tuple[str, ...]) -> Callable[[Contract], bool]:
    """Whether an answer that was changed is none that the contract describes any more."""
    described = any(id_.endswith("/answer") for id_ in breaks)

    def wrong(contract: Contract) -> bool:
        if route is Route.REFUSED and not _refuses(contract):
            return False
        right = _answer.missing(contract) if route is Route.MISSING else _answer.refused(contract)
        answer = finish(Call(contract, route), right)
        exchange = Exchange("GET", "", status=answer.status, headers=answer.headers, body=answer.body)
        reader = contract.reader
        matchers = reader.missing if route is Route.MISSING else reader.unauthorized
        if described and not matchers:
            return False
        return answer != right and not any(matcher.matches(exchange) for matcher in matchers)

    return wrong


def _missing(name: str, summary: str, finish: Finish, *breaks: str) -> Fault:
    """A fault of the answer to a task that is not there."""
    needs = _wrong_when(Route.MISSING, finish, breaks)
    return Fault(name, summary, breaks, finish=finish, routes=_MISSING, needs=needs)


def _where_misplaced(finish: Finish) -> Finish:
    return lambda call, answer: finish(call, answer) if _detour.misplaced(call) else answer


def _refusal(name: str, summary: str, finish: Finish, *breaks: str) -> Fault:
    """A fault of the answer to a caller without the right credential."""
    needs = _wrong_when(Route.REFUSED, finish, breaks)
    return Fault(name, summary, breaks, finish=finish, routes=_REFUSED, needs=needs)


_SUCCEEDED = frozenset({State.SUCCEEDED})
_RUNNING = frozenset({State.RUNNING})
_FAILED = frozenset({State.FAILED})
_ENDED = frozenset(state for state in State if state.terminal)

_MISSING = frozenset({Route.MISSING})
_REFUSED = frozenset({Route.REFUSED})
_BATCH = frozenset({Route.BATCH})
_ELSEWHERE = frozenset({Route.ELSEWHERE})
_FOUND_OR_NOT = TASK | _MISSING
_ALL_ROUTES = frozenset(Route)

_TRANSFER = ("fetch/transfer",)
_KNOWN_STATUS = ("fetch/known/status",)
_MEDIA_TYPE = ("fetch/200/media-type",)
_JSON = ("fetch/200/json",)
_SCHEMA = ("fetch/200/schema",)
_MISSING_ANSWER = "fetch/missing/answer"
_UNKNOWN_500 = ("fetch/unknown/no-server-error",)
_UNKNOWN_TASK = ("fetch/unknown/no-task",)
_MEDIA_URL = ("fetch/200/media-url",)

_ALL = (
    # The answer's way.
    Fault(
        "connection-reset",
        "The connection ends in the middle of the task's answer.",
        _TRANSFER,
        finish=_spoil.cut,
    ),
    Fault(
        "stalls-mid-body",
        "Half of the task's answer comes, and then nothing until the caller leaves.",
        _TRANSFER,
        finish=_spoil.stalled,
    ),
    Fault(
        "wrong-length", "The task's answer announces more bytes than it has.", _TRANSFER, finish=_spoil.short
    ),
    Fault(
        "slow",
        "A succeeded task takes two seconds to come.",
        ("fetch/latency",),
        finish=_spoil.late(2.0),
        states=_SUCCEEDED,
    ),
    Fault(
        "very-slow",
        "A succeeded task takes twelve seconds to come.",
        ("fetch/latency",),
        finish=_spoil.late(12.0),
        states=_SUCCEEDED,
    ),
    Fault(
        "huge-body",
        "White space makes the task's answer larger than a megabyte.",
        ("fetch/size",),
        finish=_spoil.huge,
    ),
    Fault(
        "gzip-unasked",
        "The task's answer is compressed, whether the caller reads that or not.",
        ("fetch/content-encoding",),
        finish=_spoil.zipped,
    ),
    Fault(
        "gzip-bomb",
        "The task's answer is small and unpacks to 16 megabytes.",
        ("fetch/size", "fetch/transfer", "fetch/content-encoding"),
        finish=_spoil.bomb,
    ),
    Fault(
        "redirect-to-other-host",
        "The task's answer is a redirect to another host.",
        ("fetch/redirect",),
        finish=_spoil.redirect,
    ),
    Fault(
        "rate-limited",
        "After five requests every other one is answered with 429.",
        ("fetch/rate-limit",),
        finish=_spoil.limited("30"),
        routes=_ALL_ROUTES,
    ),
    Fault(
        "retry-after-nonsense",
        "After five requests every other one is answered with 429, and is to be repeated at no time at all.",
        ("fetch/retry-after",),
        finish=_spoil.limited("in a while"),
        routes=_ALL_ROUTES,
    ),
    Fault(
        "secret-echoed",
        "The caller's credential stands in the task's answer.",
        ("fetch/secret",),
        alter=_damage.echo_in_body,
        finish=_spoil.echo,
        needs=lambda contract: bool(contract.credentials),
    ),
    Fault(
        "secret-echoed-encoded",
        "The caller's credential stands in the task's answer, in Base64 and percent-encoded.",
        ("fetch/secret",),
        alter=_damage.echo_encoded,
        finish=_spoil.echo_in_base64,
        needs=lambda contract: bool(contract.credentials),
    ),
    Fault(
        "caching-public",
        "A running task may be kept by every cache for an hour.",
        ("caching/running",),
        finish=_spoil.field("cache-control", "public, max-age=3600"),
        states=_RUNNING,
        needs=lambda contract: State.RUNNING.value in contract.examples,
    ),
    Fault(
        "no-cache-headers",
        "The task's answer does not say whether it may be kept.",
        ("caching/none",),
        finish=_spoil.field("cache-control", None),
    ),
    # Its status.
    Fault(
        "status-500", "A task that is there is answered with 500.", _KNOWN_STATUS, finish=_spoil.status(500)
    ),
    Fault(
        "status-502-html",
        "A task that is there is answered with 502 and a web page.",
        _KNOWN_STATUS,
        finish=_spoil.page(502),
    ),
    Fault(
        "status-418", "A task that is there is answered with 418.", _KNOWN_STATUS, finish=_spoil.status(418)
    ),
    Fault(
        "flaky-500",
        "Every second reading of a task is answered with 500.",
        _KNOWN_STATUS,
        finish=_spoil.every_second,
    ),
    Fault(
        "forgets",
        "A task is there once, and is missing when it is read again.",
        _KNOWN_STATUS,
        decide=_detour.forgotten,
    ),
    _missing(
        "missing-task-500",
        "A task that is not there is answered with 500.",
        _spoil.status(500),
        *_UNKNOWN_500,
    ),
    _missing(
        "missing-task-null",
        "A task that is not there is answered with 200 and null.",
        _spoil.null,
        _MISSING_ANSWER,
    ),
    _missing(
        "missing-task-empty",
        "A task that is not there is answered with 200 and an empty body.",
        _spoil.emptied,
        _MISSING_ANSWER,
    ),
    _missing(
        "missing-task-html",
        "A task that is not there is answered with 200 and a web page.",
        _spoil.page(200),
        _MISSING_ANSWER,
    ),
    _missing(
        "missing-task-wrong-status",
        "A task that is not there is answered with another status than the contract says.",
        _spoil.other_missing_status,
        _MISSING_ANSWER,
    ),
    Fault(
        "missing-task-other",
        "A task that is not there is answered with somebody else's.",
        _UNKNOWN_TASK,
        decide=_detour.somebody_elses,
        needs=_has_tasks,
    ),
    Fault(
        "non-ascii-id-500",
        "An id with other characters than ASCII is answered with 500.",
        _UNKNOWN_500,
        finish=_spoil.non_ascii_id,
        routes=_FOUND_OR_NOT,
    ),
    Fault(
        "odd-id-500",
        "An id of more than 200 characters is answered with 500.",
        _UNKNOWN_500,
        finish=_spoil.long_id,
        routes=_FOUND_OR_NOT,
    ),
    Fault(
        "odd-id-task",
        "An id with a quotation mark in it yields somebody's task.",
        _UNKNOWN_TASK,
        decide=_detour.quoted,
        needs=_has_tasks,
    ),
    Fault(
        "any-method-acts",
        "A request gets the task whatever its method is.",
        ("method/no-task",),
        decide=_detour.any_method,
    ),
    Fault(
        "method-500",
        "A method that leads to nothing is answered with 500.",
        ("method/no-server-error",),
        finish=_spoil.status(500),
        routes=_ELSEWHERE,
    ),
    Fault(
        "method-405-without-allow",
        "A method that leads to nothing is answered with 405, without the methods that lead to something.",
        ("method/allow",),
        finish=_spoil.field("allow", None),
        routes=_ELSEWHERE,
        needs=_no_elsewhere,
    ),
    Fault(
        "query-500",
        "A query parameter that the contract does not know is answered with 500.",
        (*_KNOWN_STATUS, *_UNKNOWN_500),
        finish=_spoil.unknown_query,
        routes=_FOUND_OR_NOT,
        phase=Phase.FUZZ,
    ),
    Fault(
        "language-html",
        "A caller that reads web pages, or names a language, gets a web page instead of the task.",
        _MEDIA_TYPE,
        finish=_spoil.for_browsers,
        phase=Phase.FUZZ,
    ),
    Fault(
        "encoded-id-missing",
        "An id of which a character is percent-encoded without need is missing.",
        _KNOWN_STATUS,
        decide=_detour.as_it_is_spelt,
        needs=_in_path,
        phase=Phase.FUZZ,
    ),
    # Its representation.
    Fault(
        "wrong-content-type",
        "The task's answer calls itself text/plain.",
        _MEDIA_TYPE,
        finish=_spoil.field("content-type", "text/plain"),
    ),
    Fault(
        "no-content-type",
        "The task's answer does not say of which type it is.",
        _MEDIA_TYPE,
        finish=_spoil.field("content-type", None),
    ),
    Fault(
        "wrong-charset",
        "The task's answer is in UTF-8 and calls itself GBK.",
        ("fetch/200/charset",),
        finish=_spoil.other_charset,
    ),
    Fault("html-200", "A web page comes instead of the task.", _MEDIA_TYPE, finish=_spoil.page(200)),
    Fault(
        "html-labelled-json",
        "A web page that calls itself JSON comes instead of the task.",
        _JSON,
        finish=_spoil.page(200, None),
    ),
    Fault(
        "empty-200",
        "The task's answer has an empty body.",
        _JSON,
        finish=_spoil.nothing,
        needs=_never_empty,
    ),
    Fault(
        "truncated-json", "The JSON ends in the middle, the answer does not.", _JSON, finish=_spoil.truncated
    ),
    Fault("trailing-garbage", "A remark follows the JSON.", _JSON, finish=_spoil.garbage),
    Fault("byte-order-mark", "A byte order mark stands before the JSON.", _JSON, finish=_spoil.marked),
    Fault("invalid-utf8", "A byte in the task's answer is not UTF-8.", _JSON, finish=_spoil.in_text(b"\xff")),
    Fault(
        "half-surrogate",
        "A text of the task holds half a surrogate pair, as if cut in two there.",
        _JSON,
        finish=_spoil.in_text(b"\\ud83d"),
    ),
    Fault("nan", "A number of the task is NaN, which JSON does not have.", _JSON, alter=_damage.nan),
    Fault(
        "duplicate-names",
        "A name stands twice in the task's document.",
        ("fetch/200/duplicate-names",),
        finish=_spoil.repeated_name,
    ),
    Fault(
        "encoded-twice",
        "The prompt was encoded twice, and is unreadable.",
        ("fetch/200/encoded-twice",),
        alter=_damage.encoded_twice,
    ),
    # Its document.
    Fault(
        "error-envelope-200",
        "An error's document comes with status 200 instead of the task.",
        ("fetch/200/accept",),
        finish=_spoil.error_envelope,
    ),
    Fault(
        "envelope-disagrees",
        "What the task is wrapped in says that it is an error.",
        ("fetch/200/accept",),
        alter=_damage.envelope_disagrees,
    ),
    Fault("body-is-array", "The task stands in an array.", _SCHEMA, alter=lambda _, document: [document]),
    Fault(
        "wrong-type",
        "A documented value has a JSON type that the schema refuses.",
        _SCHEMA,
        alter=_damage.wrong_type,
    ),
    Fault(
        "missing-required",
        "A required property is not there, or the status where none is required.",
        (*_SCHEMA, "fetch/200/presence"),
        alter=_damage.missing_required,
    ),
    Fault("null-field", "A value is null where the schema forbids it.", _SCHEMA, alter=_damage.null_field),
    Fault("id-as-number", "The id is a JSON number.", (*_SCHEMA, "fetch/200/id"), alter=_damage.id_as_number),
    Fault(
        "unknown-enum",
        "The status is a word that nobody knows.",
        ("fetch/200/enum", "fetch/200/status-word"),
        alter=_damage.unknown_enum,
    ),
    Fault(
        "extra-field",
        "The task has a property that the contract does not know.",
        ("fetch/200/undocumented",),
        alter=_damage.undocumented,
    ),
    # The task.
    Fault("wrong-id", "The task has another task's id.", ("fetch/200/id",), alter=_damage.wrong_id),
    Fault(
        "stuck",
        "A task that has ended is still said to run.",
        ("fetch/200/state",),
        alter=_damage.stuck,
        states=_ENDED,
    ),
    Fault(
        "seconds-not-ms",
        "Times are a thousandth of what the contract's unit makes them, or a thousandfold of seconds.",
        ("fetch/200/times",),
        alter=_damage.seconds_not_ms,
    ),
    Fault(
        "times-in-future",
        "The times of a task lie a day ahead and more.",
        ("fetch/200/times",),
        alter=_damage.times_in_future,
    ),
    Fault(
        "finish-before-start",
        "A task that has ended did so before it was submitted.",
        ("fetch/200/times-order",),
        alter=_damage.finish_before_start,
    ),
    Fault(
        "progress-150",
        "The progress of a task is 150 percent.",
        ("fetch/200/progress",),
        alter=_damage.progress_150,
    ),
    Fault(
        "success-at-50-percent",
        "A succeeded task is at 50 percent.",
        ("fetch/200/succeeded/progress",),
        alter=_damage.success_at_50,
        states=_SUCCEEDED,
    ),
    Fault(
        "success-with-reason",
        "A succeeded task has the reason of a failure.",
        ("fetch/200/succeeded/no-reason",),
        alter=_damage.success_with_reason,
        states=_SUCCEEDED,
    ),
    Fault(
        "progress-without-sign",
        "Progress has no percent sign where the contract shows one.",
        ("fetch/200/progress",),
        alter=_damage.progress_without_sign,
    ),
    Fault(
        "success-without-finish",
        "A succeeded task does not say when it finished.",
        ("fetch/200/succeeded/finished",),
        alter=_damage.success_without_finish,
        states=_SUCCEEDED,
    ),
    Fault(
        "success-without-media",
        "A succeeded task has no image and no video.",
        ("fetch/200/succeeded/media",),
        alter=_damage.success_without_media,
        states=_SUCCEEDED,
    ),
    Fault(
        "media-on-localhost",
        "The links of a succeeded task lead to the relay's own machine.",
        _MEDIA_URL,
        alter=_damage.media_on_localhost,
        states=_SUCCEEDED,
    ),
    Fault(
        "media-over-http",
        "The links of a succeeded task are plain HTTP.",
        _MEDIA_URL,
        alter=_damage.media_over_http,
        states=_SUCCEEDED,
    ),
    Fault(
        "media-relative",
        "The links of a succeeded task have no host.",
        (*_MEDIA_URL, "fetch/200/succeeded/media"),
        alter=_damage.media_relative,
        states=_SUCCEEDED,
    ),
    Fault(
        "media-expired",
        "The links of a succeeded task ended before it was submitted.",
        ("fetch/200/media-expired",),
        alter=_damage.media_expired,
        states=_SUCCEEDED,
    ),
    Fault(
        "failure-without-reason",
        "A failed task does not say why.",
        ("fetch/200/failed/reason",),
        alter=_damage.failure_without_reason,
        states=_FAILED,
    ),
    Fault(
        "relation-broken",
        "Two parts of a succeeded task that belong together do not go together.",
        ("fetch/200/relations",),
        alter=_damage.relation_broken,
        states=_SUCCEEDED,
    ),
    # Reading it again.
    Fault(
        "terminal-regression",
        "A task that has ended runs again when it is read again.",
        ("sequence/terminal",),
        alter=_damage.terminal_regression,
        states=_ENDED,
    ),
    Fault(
        "changes-when-read",
        "A text of a succeeded task is another one each time it is read.",
        ("sequence/content",),
        alter=_damage.changes_when_read,
        states=_SUCCEEDED,
    ),
    Fault(
        "submitted-anew",
        "A failed task was submitted at another time each time it is read.",
        ("sequence/content",),
        alter=_damage.submitted_anew,
        states=_FAILED,
    ),
    Fault(
        "progress-backwards",
        "The progress of a running task falls with each reading.",
        ("sequence/progress",),
        alter=_damage.progress_backwards,
        states=_RUNNING,
    ),
    # Who asks.
    Fault(
        "wrong-auth-accepted",
        "A wrong credential gets the task.",
        ("auth/wrong/refused",),
        decide=_detour.wrong_credential,
        needs=_refuses,
    ),
    Fault(
        "no-auth-accepted",
        "A caller that gives no credential where one belongs gets the task.",
        ("auth/none/refused",),
        decide=_detour.no_credential,
        needs=_refuses,
    ),
    Fault(
        "other-header-accepted",
        "The right credential gets the task in whatever header it stands.",
        ("auth/misplaced/refused",),
        decide=_detour.other_header,
        needs=_refuses,
    ),
    Fault(
        "other-header-500",
        "The right credential in another header leads to 500.",
        ("auth/misplaced/no-server-error",),
        finish=_where_misplaced(_spoil.status(500)),
        routes=frozenset({Route.REFUSED}),
        needs=_refuses,
    ),
    Fault(
        "other-header-html",
        "The right credential in another header brings a web page.",
        ("auth/misplaced/answer",),
        finish=_where_misplaced(_spoil.page(200)),
        routes=frozenset({Route.REFUSED}),
        needs=_refuses,
    ),
    Fault(
        "refused-with-task",
        "A caller without the right credential gets 401, and the task with it.",
        ("auth/wrong/refused",),
        decide=_detour.any_credential,
        finish=_spoil.refusal_with_task,
        needs=_refuses,
    ),
    Fault(
        "alternative-refused",
        "Of the ways of giving a credential only the first works.",
        ("auth/alternative/works",),
        decide=_detour.first_way_only,
        needs=lambda contract: _refuses(contract) and len(contract.credentials) > 1,
    ),
    Fault(
        "scheme-case-sensitive",
        "The word before a credential counts only as the contract spells it.",
        ("auth/scheme/case", "auth/alternative/works"),
        decide=_detour.scheme_to_the_letter,
        needs=lambda contract: _refuses(contract) and any(one.prefix for one in contract.credentials),
    ),
    _refusal(
        "auth-error-200",
        "A caller without the right credential is refused with status 200.",
        _spoil.status(200),
        "auth/wrong/answer",
    ),
    _refusal(
        "auth-error-500",
        "A caller without the right credential is refused with status 500.",
        _spoil.status(500),
        "auth/wrong/no-server-error",
    ),
    _refusal(
        "auth-error-html",
        "A caller without the right credential gets a web page.",
        _spoil.page(200),
        "auth/wrong/answer",
    ),
    _refusal(
        "auth-error-redirect",
        "A caller without the right credential is sent to a page where people log in.",
        _spoil.login,
        "auth/wrong/answer",
    ),
    # Several tasks at once.
    Fault(
        "batch-other-task",
        "A list of tasks holds one that nobody asked for.",
        ("batch/only-asked",),
        decide=_detour.one_more,
        needs=_lists,
    ),
    Fault(
        "batch-differs",
        "A succeeded task is another one in a list than when it is fetched.",
        ("batch/like-single",),
        alter=_damage.differs_in_batch,
        states=_SUCCEEDED,
        needs=_lists,
    ),
    Fault(
        "batch-null-for-missing",
        "A list of tasks holds null for each one that is missing.",
        ("batch/missing-omitted", "batch/schema"),
        gather=lambda call, documents: [*documents, *[None] * len({*(call.ids or ())} - {*call.tasks})],
        needs=_lists,
    ),
    Fault(
        "batch-incomplete",
        "A list of tasks lacks the first of those that are there.",
        ("batch/complete",),
        gather=lambda _, documents: documents[1:],
        needs=_lists,
    ),
    Fault(
        "batch-twice",
        "A list of tasks holds each of them twice.",
        ("batch/complete",),
        gather=lambda _, documents: documents * 2,
        needs=_lists,
    ),
    Fault(
        "batch-500",
        "A list of tasks is answered with 500.",
        ("batch/status",),
        finish=_spoil.status(500),
        routes=_BATCH,
        needs=_lists,
    ),
    Fault(
        "batch-html",
        "A web page comes instead of a list of tasks.",
        ("batch/json", "batch/status"),
        finish=_spoil.page(200),
        routes=_BATCH,
        needs=_lists,
    ),
    Fault(
        "batch-wrong-type",
        "In a list of tasks a documented value has a JSON type that the schema refuses.",
        ("batch/schema",),
        alter=lambda call, document: _damage.wrong_type(call, document) if call.ids else document,
        needs=_lists,
    ),
)

FAULTS: dict[str, Fault] = {fault.name: fault for fault in _ALL}
"""Every fault by its name."""

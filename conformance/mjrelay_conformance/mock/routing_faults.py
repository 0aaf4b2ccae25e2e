"""What faults make of a request: each function takes a call and says what becomes of it instead."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import quote, unquote

from attrs import evolve

from mjrelay_conformance.mock.response import Call, Route

if TYPE_CHECKING:
    from collections.abc import Iterator


def wrong_credential(call: Call) -> Call:
    return call.admitted if call.route is Route.REFUSED and call.secrets else call


def no_credential(call: Call) -> Call:
    return call.admitted if call.route is Route.REFUSED and not any(_fields(call)) else call


def other_header(call: Call) -> Call:
    return call.admitted if misplaced(call) else call


def misplaced(call: Call) -> bool:
    """Whether a caller is refused who has the right credential, but in another place or form."""
    words = [value.split()[-1:] for _, value in call.request.headers]
    return call.route is Route.REFUSED and [call.key] in words


def any_credential(call: Call) -> Call:
    return call.admitted if call.route is Route.REFUSED and call.task_id in call.tasks else call


def first_way_only(call: Call) -> Call:
    first = call.contract.credentials[0]
    return call if call.key in call.request.presented(first) else _refused(call)


def scheme_to_the_letter(call: Call) -> Call:
    exact = any(
        value.startswith(one.prefix) and value.removeprefix(one.prefix).strip() == call.key
        for one in call.contract.credentials
        for value in call.request.values(one.place, one.field)
    )
    return call if exact else _refused(call)


def any_method(call: Call) -> Call:
    if call.route is not Route.ELSEWHERE:
        return call
    return call.admitted if call.entitled else evolve(call, route=Route.REFUSED)


def somebody_elses(call: Call) -> Call:
    if call.route is not Route.MISSING or not call.tasks:
        return call
    return evolve(call, route=Route.TASK, task_id=call.tasks[0])


def quoted(call: Call) -> Call:
    return somebody_elses(call) if "'" in call.task_id else call


def forgotten(call: Call) -> Call:
    return evolve(call, route=Route.MISSING) if call.route is Route.TASK and call.reads else call


def as_it_is_spelt(call: Call) -> Call:
    respelt = any(quote(unquote(raw), safe="") != raw for raw in call.request.path.values())
    return evolve(call, route=Route.MISSING) if call.route is Route.TASK and respelt else call


def one_more(call: Call) -> Call:
    other = next((id_ for id_ in call.tasks if id_ not in (call.ids or ())), None)
    if call.route is not Route.BATCH or other is None:
        return call
    return evolve(call, ids=(*(call.ids or ()), other))


def _refused(call: Call) -> Call:
    asks = call.route in {Route.TASK, Route.BATCH, Route.MISSING}
    return evolve(call, route=Route.REFUSED) if asks else call


def _fields(call: Call) -> Iterator[str]:
    """What stands in the places of credentials."""
    for one in call.contract.credentials:
        yield from call.request.values(one.place, one.field)

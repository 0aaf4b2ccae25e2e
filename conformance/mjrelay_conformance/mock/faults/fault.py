"""The class of faults, and conditions that several fault families have."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

from attrs import field, frozen

from mjrelay.http import Exchange
from mjrelay.semantics import State
from mjrelay_conformance.mock import responses
from mjrelay_conformance.mock.behaviour import Behaviour
from mjrelay_conformance.mock.responses import MockRequest, Route

if TYPE_CHECKING:
    from collections.abc import Callable

    from mjrelay.contract import Contract
    from mjrelay_conformance.mock.behaviour import ResponseChange


SUCCEEDED = frozenset({State.SUCCEEDED})
RUNNING = frozenset({State.RUNNING})
FAILED = frozenset({State.FAILED})
ENDED = frozenset(state for state in State if state.terminal)

MISSING = frozenset({Route.MISSING})
REFUSED = frozenset({Route.REFUSED})


class Phase(StrEnum):
    """The part of a run that can detect a fault: the planned requests, or only the generated ones."""

    PLAN = "plan"
    FUZZ = "fuzz"


@frozen
class Fault(Behaviour):
    """
    A behaviour that violates the contract.

    ``breaks`` are check ids; at least one of these checks detects the fault. Which one may depend on the
    contract. ``phase`` is the part of a run that can detect it.
    """

    breaks: tuple[str, ...]
    phase: Phase = field(default=Phase.PLAN, kw_only=True)


def requires_credential(contract: Contract) -> bool:
    """Whether the mock refuses requests without a credential. Where it is optional, the mock requires it."""
    return bool(contract.credentials)


def never_open(contract: Contract) -> bool:
    """Whether the contract requires a credential."""
    return requires_credential(contract) and not contract.open


def makes_undocumented(
    route: Route, on_response: ResponseChange, breaks: tuple[str, ...]
) -> Callable[[Contract], bool]:
    """Return a condition: whether a response ceases to match the contract if the hook changes it."""
    described = any(id_.endswith("/answer") for id_ in breaks)

    def wrong(contract: Contract) -> bool:
        if route is Route.REFUSED and not requires_credential(contract):
            return False
        right = responses.missing(contract) if route is Route.MISSING else responses.refused(contract)
        response = on_response(MockRequest(contract, route), right)
        exchange = Exchange("GET", "", status=response.status, headers=response.headers, body=response.body)
        reader = contract.reader
        matchers = reader.missing if route is Route.MISSING else reader.unauthorized
        if route is Route.REFUSED and contract.open and any(one.matches(exchange) for one in reader.missing):
            return False  # an open relay without the task answers so
        if described and not matchers:
            return False
        return response != right and not any(matcher.matches(exchange) for matcher in matchers)

    return wrong

"""Submits of a contract: which operation one is of, and one that must be refused."""

from __future__ import annotations

import json
import re
from functools import cache
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from attrs import evolve

from mjrelay.base import Pattern, pointer_steps
from mjrelay.contract import request_problem
from mjrelay.http import parse_json

if TYPE_CHECKING:
    from mjrelay.contract import Contract, SubmitOperation
    from mjrelay.http import Exchange, Request


def submit_of(contract: Contract, exchange: Exchange) -> SubmitOperation | None:
    """Return the operation of a submit, found by the method and the end of the path; None for no submit."""
    try:
        path = urlsplit(exchange.url).path
    except ValueError:
        return None
    method = exchange.method.upper()
    return next(
        (one for pattern, one in _patterns(contract) if one.method == method and pattern.search(path)), None
    )


def without_prompt(contract: Contract, operation: SubmitOperation, request: Request) -> Request | None:
    """Return a submit without its prompt, or None if the contract does not require one in the body."""
    place = operation.form.arguments["prompt"].to
    if place is None or place.kind != "body":
        return None
    document = target = parse_json(request.body)
    *above, last = pointer_steps(place.name)
    for name in above:
        target = target[name]
    del target[last]
    broken = evolve(request, body=json.dumps(document).encode())
    query = request.target.partition("?")[2]
    problem = request_problem(contract, operation.location, query, broken.headers, broken.body)
    return None if problem is None else broken


@cache
def _patterns(contract: Contract) -> tuple[tuple[Pattern, SubmitOperation], ...]:
    return tuple(
        (Pattern.compile(re.sub(r"\\\{.*?\\\}", "[^/]+", re.escape(one.path)) + r"\Z"), one)
        for one in contract.submits
    )

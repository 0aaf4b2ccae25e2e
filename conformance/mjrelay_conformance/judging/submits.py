"""Which operation of a contract a submit is of."""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from mjrelay.base import Pattern

if TYPE_CHECKING:
    from mjrelay.contract import Contract, SubmitOperation
    from mjrelay.http import Exchange


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


@cache
def _patterns(contract: Contract) -> tuple[tuple[Pattern, SubmitOperation], ...]:
    return tuple(
        (Pattern.compile(re.sub(r"\\\{.*?\\\}", "[^/]+", re.escape(one.path)) + r"\Z"), one)
        for one in contract.submits
    )

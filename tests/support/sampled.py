"""Which of many cases the tests try, where each costs time and a session of its own tries them all."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, TypeVar

from mjrelay.contract.loading import relay_names

if TYPE_CHECKING:
    from collections.abc import Iterable

T = TypeVar("T")

WHOLE = ("apiai", "mjdjourney", "zhongzhuan")
"""Relays of which every case is tried: closed contracts, after three pages that differ."""
SEVERAL = (*WHOLE, "trueai", "ttapi")
"""These, one whose server may be open, and one that is asked by a query: relays of every kind."""


def sampled(relay: str, cases: Iterable[T], every: int = 9) -> list[T]:
    """All cases of a relay in `WHOLE`; of another one ``every`` ninth, from another beginning for each."""
    return list(cases if relay in WHOLE else islice(cases, relay_names().index(relay) % every, None, every))

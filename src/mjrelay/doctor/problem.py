"""A problem that an examination finds, and how a relay's text is quoted in it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import field, frozen

from mjrelay.doctor.observations import BODY_LIMIT, document

if TYPE_CHECKING:
    from mjrelay.contract import Contract
    from mjrelay.http import Exchange


_QUOTED = 200
"""Maximum length of foreign text in a message."""


@frozen
class Problem:
    """
    A problem of a relay, or a note if ``wrong`` is false.

    ``name`` is stable, ``what`` describes the observation, and ``then`` the next step.
    ``overlay`` is the text of an overlay that corrects the contract, if one can.
    """

    name: str
    what: str
    then: str
    wrong: bool = True
    overlay: str | None = field(default=None, repr=False)


def shorten(foreign: str) -> str:
    """Return text of a relay, cut to a length that fits in a message."""
    return foreign if len(foreign) <= _QUOTED else f"{foreign[:_QUOTED]}…"


def quoted_message(exchange: Exchange, contract: Contract | None) -> str:
    """
    Return the message of an error response, cut, and after its code; empty without one.

    It is read as the contract describes it. Otherwise it is the body, unless that is a web page.
    """
    if contract is not None and (found := ": ".join(filter(None, contract.reader.error(document(exchange))))):
        return shorten(found)
    body = exchange.body[:BODY_LIMIT].decode("utf-8", "replace")
    page = "html" in exchange.media_type or body.lstrip().startswith("<")
    return "" if page else shorten(" ".join(body.split()))

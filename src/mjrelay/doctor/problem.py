"""A problem that an examination finds, and how foreign text is quoted in it."""

from __future__ import annotations

from attrs import frozen

_QUOTED = 200
"""Maximum length of foreign text in a message."""


@frozen
class Problem:
    """
    A problem of a relay, or a note if ``wrong`` is false.

    ``name`` is stable, ``what`` describes the observation, and ``then`` the next step.
    """

    name: str
    what: str
    then: str
    wrong: bool = True


def shorten(foreign: str) -> str:
    """Return text of a relay, cut to a length that fits in a message."""
    return foreign if len(foreign) <= _QUOTED else f"{foreign[:_QUOTED]}…"

"""What a recording holds of one exchange, whatever form it was written in."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import field, frozen

if TYPE_CHECKING:
    from mjrelay._exchange import Exchange
    from mjrelay_conformance._check import Kind

UNRECORDED = "http://unrecorded.invalid"
"""Stands for scheme and host where only the target of a request was recorded."""


class EntryError(Exception):
    """One entry is not what it should be."""


@frozen
class Entry:
    """
    One recorded request and its answer, secrets included.

    ``place`` says where in the file it stands. ``lacking`` is why its answer cannot be judged, if so.
    ``started`` and ``ended`` are in seconds since 1970, where recorded. ``kind``, ``task_id``, ``label`` and
    ``relay`` are what the recorder itself says of it.
    """

    place: str
    exchange: Exchange = field(repr=False)
    started: float | None = None
    ended: float | None = None
    lacking: str | None = None
    kind: Kind | None = None
    task_id: str | None = None
    label: str = ""
    relay: str | None = None


@frozen
class Unreadable:
    """An entry that is left out, and why."""

    place: str
    reason: str

"""What a recording holds of one relay: what it was asked, and with which keys."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from attrs import field, frozen

from mjrelay._redaction import Redactor
from mjrelay_conformance._check import Kind
from mjrelay_conformance.checks.transport import SHORTEST
from mjrelay_conformance.replay._call import call
from mjrelay_conformance.replay._entry import Unreadable
from mjrelay_conformance.replay._file import TrafficError, read
from mjrelay_conformance.replay._secrets import private_values

if TYPE_CHECKING:
    from collections.abc import Iterable

    from mjrelay._contract import Contract
    from mjrelay._exchange import Exchange
    from mjrelay_conformance.replay._call import Call
    from mjrelay_conformance.replay._entry import Entry

TOLD = 10
"""Entries of one kind that are told one by one."""
_MOST_KEYS = 16
"""Different keys in one recording that are looked for; each costs time at every answer."""
_MOST_PRIVATE = 32
"""Other private values that are looked for everywhere; the others are where they were sent."""
_INSTANCES = 5


@frozen
class Recording:
    """
    What a recording holds of one relay.

    ``calls`` stand in the order of time. ``keys`` are those that no answer may hold; ``redactor`` takes them
    out of what is written, and all other ``private`` values too, as far as they are looked for everywhere.
    ``told`` says what of the file is passed by.
    """

    calls: list[Call]
    told: list[str]
    keys: tuple[str, ...] = field(repr=False)
    private: tuple[str, ...] = field(repr=False)
    redactor: Redactor = field(repr=False)

    def redactor_of(self, contract: Contract, exchange: Exchange) -> Redactor:
        """What also takes out the private values of one exchange that are not looked for everywhere."""
        own = set(private_values(contract, exchange)).difference(self.private)
        return Redactor(*self.private, *own) if own else self.redactor

    @classmethod
    def load(cls, file: str, contract: Contract, base_url: str | None, keys: Iterable[str]) -> Recording:
        """
        Read a file, or stdin where it is called ``-``; ``keys`` are looked for besides those that it holds.

        Raises `TrafficError` where it cannot be read, or asks the relay for nothing.
        """
        name = name_of(file)
        calls: list[Call] = []
        unreadable: list[str] = []
        others: list[Exchange] = []
        passed = 0
        private, made_up = dict.fromkeys(keys), set[str]()
        for entry in _entries(file, name):
            if isinstance(entry, Unreadable):
                unreadable.append(f"{entry.place} {entry.reason}")
                continue
            found = call(entry, contract, base_url)
            if found is None:
                passed += 1
                others += [entry.exchange] if passed <= _INSTANCES else []
                continue
            calls.append(found)
            private.update(dict.fromkeys(found.keys))
            made_up.update(found.keys if found.kind is Kind.BAD_CREDENTIAL else ())
            if len(private) > _MOST_KEYS:
                raise TrafficError(
                    f"{name}: holds more than {_MOST_KEYS} different keys, too many to be kept out of what "
                    "is written; export the traffic of fewer callers"
                )
        others_of = dict.fromkeys(
            value for one in calls for value in private_values(contract, one.entry.exchange)
        )
        everywhere = (*private, *[value for value in others_of if value not in private][:_MOST_PRIVATE])
        redactor = Redactor(*everywhere)
        if not calls:
            where = "" if base_url is None else f" at {base_url}"
            seen = redactor.text("; ".join(dict.fromkeys(map(_shown, others))))
            raise TrafficError(
                f"{name}: none of its {passed} exchanges"
                + (f", and {len(unreadable)} that cannot be read," if unreadable else "")
                + f" asks {contract.name}{where} for a task ({contract.method} …{contract.path}); it holds"
                + (f", for instance: {seen}" if seen else " no exchange")
                + ". Record a fetch, or name the relay that was asked"
            )
        told = [f"skipped: {line}" for line in unreadable[:TOLD]]
        if len(unreadable) > TOLD:
            told.append(f"skipped: {len(unreadable) - TOLD} more entries that cannot be read")
        if passed:
            told.append(f"skipped: {passed} exchanges that ask {contract.name} for no task")
        sought = tuple(key for key in private if len(key) >= SHORTEST and key not in made_up)
        return cls(_ordered(calls), told, sought, everywhere, redactor)


def name_of(file: str) -> str:
    """What a file is called in what is told."""
    return "stdin" if file == "-" else file


def _entries(file: str, name: str) -> Iterable[Entry | Unreadable]:
    if file == "-":
        return read(sys.stdin.buffer, name)
    try:
        with Path(file).open("rb") as stream:
            return read(stream, name)
    except OSError as error:
        raise TrafficError(f"{name}: cannot be read ({error.strerror}); check the path") from error


def _ordered(calls: Iterable[Call]) -> list[Call]:
    """The calls in the order of time; one without a time stays behind the one before it."""
    moment, keyed = float("-inf"), []
    for one in calls:
        moment = moment if one.entry.started is None else one.entry.started
        keyed.append((moment, one))
    return [one for _, one in sorted(keyed, key=lambda pair: pair[0])]


def _shown(exchange: Exchange) -> str:
    """Method and path of an exchange, without what may be a secret."""
    try:
        path = urlsplit(exchange.url).path
    except ValueError:
        path = "?"
    steps = ["…" if len(step) >= 16 and re.search(r"\d", step) else step[:40] for step in path.split("/")]
    return f"{exchange.method[:10]} {'/'.join(steps[:12])}"

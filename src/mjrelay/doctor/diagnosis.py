"""What a doctor says in the end: as data, and the lines of Python that work."""

from __future__ import annotations

import json
import shlex
from typing import TYPE_CHECKING, Any

from attrs import field, frozen

from mjrelay.contract import is_path
from mjrelay.doctor.observations import Purpose, ResponseKind, document, form
from mjrelay.doctor.plan import REQUEST_LIMIT
from mjrelay.doctor.problems import Problem, complaints
from mjrelay.doctor.score import APART, FAMILY, FITS, Score, rank
from mjrelay.doctor.similarity import unset
from mjrelay.semantics import State

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from mjrelay.contract import Contract
    from mjrelay.doctor.observations import Observations
    from mjrelay.http import Credential


VERSION = 1
"""The version of the shape of `Diagnosis.data`."""


@frozen
class Diagnosis:
    """
    What a URL speaks, and what is wrong with it.

    ``relay`` is the contract to use there, None where none fits. ``alike`` are all that fit as well, itself
    among them; ``family`` those that fit nearly as well, which is all that can be said without a task.
    """

    evidence: Observations = field(repr=False)
    scores: tuple[Score, ...] = field(repr=False)
    relay: Contract | None
    alike: tuple[str, ...]
    family: tuple[str, ...]
    complaints: tuple[Problem, ...]

    @property
    def reached(self) -> bool:
        """Whether any answer came."""
        return any(one.outcome is not ResponseKind.SILENT for one in self.evidence.observations)

    @property
    def exit_code(self) -> int:
        """0 understood and well, 1 something is wrong, 4 no answer came."""
        if not self.reached:
            return 4
        return int(self.relay is None or any(one.wrong for one in self.complaints))

    @property
    def base_url(self) -> str | None:
        """What to give as base URL with the contract."""
        endpoint = self.evidence.endpoint
        prefix = None if endpoint is None or self.relay is None else endpoint.before(self.relay)
        return None if prefix is None else f"{self.evidence.origin}{prefix}"

    @property
    def scheme(self) -> str | None:
        """What the contract calls the way in which the key is accepted."""
        ways = () if self.relay is None else self.relay.credentials
        found = (
            one for one in ways if self.evidence.way is not None and form(one) == form(self.evidence.way)
        )
        return next((one.scheme for one in found), None)

    @property
    def python(self) -> tuple[str, ...]:
        """Three lines that fetch a task here; none where no contract fits."""
        if self.relay is None or self.base_url is None:
            return ()
        arguments = [_literal(_named(self.relay)), f"base_url={_literal(self.base_url)}"]
        if self.scheme is not None:
            arguments.append(f"scheme={_literal(self.scheme)}")
        return (
            "from mjrelay import Relay",
            f"relay = Relay({', '.join(arguments)})",
            f"print(relay.fetch({_literal(self.evidence.named or 'ID')}))",
        )

    @property
    def conform(self) -> str | None:
        """The command that judges whether the contract is kept here; None where no contract fits."""
        if self.relay is None or self.base_url is None:
            return None
        words = ["mjrelay", "conform", _named(self.relay), "--base-url", self.base_url]
        if self.evidence.named is not None:
            state = self.state
            known = state is not None and state is not State.UNKNOWN
            words += ["--task", self.evidence.named + (f"={state}" if known else "")]
        return shlex.join(words)

    @property
    def state(self) -> State | None:
        """The state of the task that was asked for, None where none came."""
        seen = self.evidence.task
        return (
            None if seen is None or self.relay is None else self.relay.reader.state(document(seen.exchange))
        )

    @property
    def unset(self) -> dict[str, list[str]] | None:
        """The paths of what is unset in the task, by how it is written; None where no task came."""
        seen = self.evidence.task
        return None if seen is None or self.relay is None else unset(self.relay, document(seen.exchange))

    def data(self) -> dict[str, Any]:
        """All of it as plain data, of the shape that `docs/doctor.md` describes."""
        evidence = self.evidence
        endpoint = evidence.endpoint
        asked = any(one.purpose is Purpose.BATCH for one in evidence.observations)
        return {
            "version": VERSION,
            "url": f"{evidence.origin}{evidence.pasted}",
            "relay": None if self.relay is None else self.relay.name,
            "alike": list(self.alike),
            "family": list(self.family),
            "certain": evidence.task is not None,
            "base_url": self.base_url,
            "scheme": self.scheme,
            "endpoint": None if endpoint is None else {"method": "GET", "path": str(endpoint)},
            "credential": {
                "sent": evidence.keyed,
                "accepted": None if evidence.way is None else _way(evidence.way),
                "tried": [_way(one) for one in _tried(evidence)],
                "untried": [_way(one) for one in evidence.ways],
                "open": evidence.open,
            },
            "task": None
            if evidence.named is None
            else {
                "id": evidence.named,
                "outcome": _outcome(evidence),
                "state": None if self.state is None else self.state.value,
            },
            "unset": self.unset,
            "missing": _answer(evidence),
            "batch": {"asked": asked, "there": evidence.batch is not None if asked else None},
            "complaints": [
                {"name": one.name, "wrong": one.wrong, "what": one.what, "then": one.then}
                for one in self.complaints
            ],
            "scores": [
                {
                    "relay": one.contract.name,
                    "score": round(one.value, 3),
                    "clues": {name: round(fit, 3) for name, fit in one.clues.items()},
                }
                for one in self.scores
            ],
            "requests": [
                {
                    "purpose": one.purpose.value,
                    "method": one.exchange.method,
                    "url": one.exchange.url,
                    "credential": None if one.way is None else _way(one.way),
                    "status": one.exchange.status,
                    "failure": one.exchange.failure,
                    "outcome": one.outcome.value,
                    "elapsed": round(one.exchange.elapsed, 3),
                }
                for one in evidence.observations
            ],
            "limit": REQUEST_LIMIT,
            "untried_paths": [str(one) for one in evidence.endpoints],
            "python": list(self.python),
            "conform": self.conform,
        }


def diagnose(evidence: Observations, contracts: Sequence[Contract], now: datetime | None = None) -> Diagnosis:
    """What evidence says, in the light of these contracts; sends nothing, and raises on no answer."""
    scores = rank(evidence, contracts, now)
    endpoint = evidence.endpoint
    fitting = [one for one in scores if endpoint is not None and endpoint.before(one.contract) is not None]
    named = [one for one in fitting if one.value >= FITS]
    best = named[0] if named else None
    # Where its path is nobody's, what is wrong in the answers can still be read.
    reading = best.contract if best else scores[0].contract if scores and endpoint is not None else None
    found = complaints(evidence, reading, now)
    if best is None and endpoint is not None:
        found.append(
            Problem(
                "no-contract",
                "JSON answers here, but no contract fits it well enough to be named.",
                "Write a contract of its own: it is one file; the scores say which one is nearest.",
            )
        )
    if endpoint is None and evidence.observations and not any(one.wrong for one in found):
        found.append(
            Problem(
                "no-relay",
                "No relay answers at this URL.",
                "Check host and path with the relay's page, or paste the URL of a task.",
            )
        )
    top = best.value if best else 1.0
    return Diagnosis(
        evidence=evidence,
        scores=tuple(scores),
        relay=None if best is None else best.contract,
        alike=tuple(one.contract.name for one in named if top - one.value < APART),
        family=tuple(one.contract.name for one in named if top - one.value < FAMILY),
        complaints=tuple(found),
    )


def _tried(evidence: Observations) -> list[Credential]:
    return list(dict.fromkeys(one.way for one in evidence.observations if one.way is not None))


def _way(credential: Credential) -> dict[str, str]:
    return {"in": credential.place, "name": credential.field, "prefix": credential.prefix}


def _outcome(evidence: Observations) -> str | None:
    seen = evidence.of(Purpose.TASK)
    return seen[-1].outcome.value if seen else None


def _answer(evidence: Observations) -> dict[str, Any] | None:
    seen = evidence.missing
    if seen is None:
        return None
    exchange = seen.exchange
    body = not exchange.body.strip()
    return {"status": exchange.status, "media_type": exchange.media_type or None, "empty": body}


def _named(contract: Contract) -> str:
    """What names a contract to a `Relay` and to a command: the relay's name, or its file."""
    if contract.file is None:
        return contract.name
    return str(contract.file) if is_path(str(contract.file)) else f"./{contract.file}"


def _literal(value: str) -> str:
    """A text as it is written in Python."""
    return json.dumps(value)

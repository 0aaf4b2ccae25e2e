"""The result of an examination: data, and Python code that works with the URL."""

from __future__ import annotations

import json
import shlex
from typing import TYPE_CHECKING, Any

from attrs import field, frozen

from mjrelay.contract import is_path
from mjrelay.doctor.observations import Purpose, ResponseKind, document, sent_form
from mjrelay.doctor.plan import REQUEST_LIMIT
from mjrelay.doctor.problem import Problem
from mjrelay.doctor.problems import find_problems
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
"""Version of the format of `Diagnosis.data`."""
OVERLAY_FILE = "times.yaml"
"""The file name of an overlay in the Python code and in the command."""


@frozen
class Diagnosis:
    """
    The contract that fits a URL, and its problems.

    ``relay`` is the contract to use, or None. ``alike`` names all contracts that fit equally well, ``relay``
    included. ``family`` names those that fit nearly as well: the whole result without a task.
    """

    observations: Observations = field(repr=False)
    scores: tuple[Score, ...] = field(repr=False)
    relay: Contract | None
    alike: tuple[str, ...]
    family: tuple[str, ...]
    problems: tuple[Problem, ...]

    @property
    def reached(self) -> bool:
        """Whether there was any response."""
        return any(one.kind is not ResponseKind.NO_RESPONSE for one in self.observations.attempts)

    @property
    def exit_code(self) -> int:
        """0 identified and healthy, 1 a problem was found, 4 no response."""
        if not self.reached:
            return 4
        return int(self.relay is None or any(one.wrong for one in self.problems))

    @property
    def base_url(self) -> str | None:
        """The base URL to use with the contract."""
        endpoint = self.observations.endpoint
        prefix = None if endpoint is None or self.relay is None else endpoint.before(self.relay)
        return None if prefix is None else f"{self.observations.origin}{prefix}"

    @property
    def scheme(self) -> str | None:
        """The contract's name of the accepted security scheme."""
        accepted = self.observations.credential
        if self.relay is None or accepted is None:
            return None
        found = (one for one in self.relay.credentials if sent_form(one) == sent_form(accepted))
        return next((one.scheme for one in found), None)

    @property
    def python(self) -> tuple[str, ...]:
        """Three lines of Python that fetch a task; empty if no contract fits, or the key may not fetch."""
        if self.relay is None or self.base_url is None or self._unusable_key:
            return ()
        arguments = [_literal(_contract_argument(self.relay)), f"base_url={_literal(self.base_url)}"]
        if self.scheme is not None:
            arguments.append(f"scheme={_literal(self.scheme)}")
        if self.overlay is not None:
            arguments.append(f"overlays=[{_literal(OVERLAY_FILE)}]")
        return (
            "from mjrelay import Relay",
            f"relay = Relay({', '.join(arguments)})",
            f"print(relay.fetch({_literal(self.observations.task_id or 'ID')}))",
        )

    @property
    def conform(self) -> str | None:
        """The command that judges the relay; None if no contract fits, or the key may not fetch."""
        if self.relay is None or self.base_url is None or self._unusable_key:
            return None
        command = ["mjrelay", "conform", _contract_argument(self.relay), "--base-url", self.base_url]
        if self.overlay is not None:
            command += ["--overlay", OVERLAY_FILE]
        if self.observations.task_id is not None:
            state = self.state
            known = state is not None and state is not State.UNKNOWN
            command += ["--task", self.observations.task_id + (f"={state}" if known else "")]
        return shlex.join(command)

    @property
    def overlay(self) -> str | None:
        """An overlay that corrects the contract, to save as `OVERLAY_FILE`; None if unneeded."""
        return next((one.overlay for one in self.problems if one.overlay), None)

    @property
    def _unusable_key(self) -> bool:
        return any(one.name in {"key-refused", "forbidden"} for one in self.problems)

    @property
    def state(self) -> State | None:
        """The state of the requested task, or None."""
        seen = self.observations.task
        return (
            None if seen is None or self.relay is None else self.relay.reader.state(document(seen.exchange))
        )

    @property
    def unset(self) -> dict[str, list[str]] | None:
        """The paths of unset values in the task by how they are written; None without a task."""
        seen = self.observations.task
        return None if seen is None or self.relay is None else unset(self.relay, document(seen.exchange))

    def data(self) -> dict[str, Any]:
        """Return the diagnosis as plain data, in the format that docs/doctor.md describes."""
        observations = self.observations
        endpoint = observations.endpoint
        asked = any(one.purpose is Purpose.BATCH for one in observations.attempts)
        return {
            "version": VERSION,
            "url": f"{observations.origin}{observations.pasted}",
            "relay": None if self.relay is None else self.relay.name,
            "alike": list(self.alike),
            "family": list(self.family),
            "certain": observations.task is not None,
            "base_url": self.base_url,
            "scheme": self.scheme,
            "endpoint": None if endpoint is None else {"method": endpoint.method, "path": str(endpoint)},
            "credential": {
                "sent": observations.keyed,
                "accepted": None if observations.credential is None else _way(observations.credential),
                "tried": [_way(one) for one in _tried(observations)],
                "untried": [_way(one) for one in observations.untried],
                "open": observations.open,
            },
            "task": None
            if observations.task_id is None
            else {
                "id": observations.task_id,
                "outcome": _task_kind(observations),
                "state": None if self.state is None else self.state.value,
            },
            "unset": self.unset,
            "missing": _missing_response(observations),
            "batch": {"asked": asked, "there": observations.batch is not None if asked else None},
            "complaints": [
                {"name": one.name, "wrong": one.wrong, "what": one.what, "then": one.then}
                for one in self.problems
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
                    "credential": None if one.credential is None else _way(one.credential),
                    "status": one.exchange.status,
                    "failure": one.exchange.failure,
                    "outcome": one.kind.value,
                    "elapsed": round(one.exchange.elapsed, 3),
                }
                for one in observations.attempts
            ],
            "limit": REQUEST_LIMIT,
            "untried_paths": [str(one) for one in observations.untried_endpoints],
            "overlay": self.overlay,
            "python": list(self.python),
            "conform": self.conform,
        }


def diagnose(
    observations: Observations, contracts: Sequence[Contract], now: datetime | None = None
) -> Diagnosis:
    """Return the diagnosis of the observations. No response makes it raise."""
    scores = rank(observations, contracts, now)
    endpoint = observations.endpoint
    fitting = [one for one in scores if endpoint is not None and endpoint.before(one.contract) is not None]
    matching = [one for one in fitting if one.value >= FITS]
    best = matching[0] if matching else None
    # If no contract has this path, the nearest one can still read the responses.
    reading = best.contract if best else scores[0].contract if scores and endpoint is not None else None
    found = find_problems(observations, reading, now)
    if best is None and endpoint is not None:
        found.append(
            Problem(
                "no-contract",
                "The URL returns JSON, but no contract fits.",
                "Write a contract for it, one file; the scores show which contract is nearest.",
            )
        )
    if endpoint is None and observations.attempts and not any(one.wrong for one in found):
        found.append(
            Problem(
                "no-relay",
                "No relay was found at this URL.",
                "Check host and path in the relay's documentation, or use the URL of a task, or --contract.",
            )
        )
    top = best.value if best else 1.0
    return Diagnosis(
        observations=observations,
        scores=tuple(scores),
        relay=None if best is None else best.contract,
        alike=tuple(one.contract.name for one in matching if top - one.value < APART),
        family=tuple(one.contract.name for one in matching if top - one.value < FAMILY),
        problems=tuple(found),
    )


def _tried(observations: Observations) -> list[Credential]:
    return list(dict.fromkeys(one.credential for one in observations.attempts if one.credential is not None))


def _way(credential: Credential) -> dict[str, str]:
    return {"in": credential.place, "name": credential.field, "prefix": credential.prefix}


def _task_kind(observations: Observations) -> str | None:
    seen = observations.of(Purpose.TASK)
    return seen[-1].kind.value if seen else None


def _missing_response(observations: Observations) -> dict[str, Any] | None:
    seen = observations.missing
    if seen is None:
        return None
    exchange = seen.exchange
    body = not exchange.body.strip()
    return {"status": exchange.status, "media_type": exchange.media_type or None, "empty": body}


def _contract_argument(contract: Contract) -> str:
    """Return the name or file that identifies a contract in `Relay` and on the command line."""
    if contract.file is None:
        return contract.name
    return str(contract.file) if is_path(str(contract.file)) else f"./{contract.file}"


def _literal(value: str) -> str:
    """Return a string literal."""
    return json.dumps(value)

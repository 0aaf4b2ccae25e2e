"""The limits of a run: how many requests, how fast, and for how long."""

from __future__ import annotations

from importlib import import_module

from attrs import frozen

from mjrelay.base import MissingExtraError
from mjrelay_conformance.drivers.options import ConformError, ConformOptions
from mjrelay_conformance.drivers.submits import MOST_SUBMITS

CASES = 50
"""Default number of requests of the property-based phase."""
STATEFUL = 8
"""Maximum number of submits of the stateful phase."""


@frozen
class Terms:
    """
    The limits of a run; ``live`` means a relay that is not on loopback. Times are in seconds.

    ``submits`` is the maximum number of planned submits, which cost money on a live relay, and ``stateful``
    that of generated ones, which no live relay gets.
    """

    live: bool
    profile: str
    cases: int
    mode: str
    pause: float
    spacing: float
    deadline: float
    submits: int
    stateful: int

    @classmethod
    def of(cls, options: ConformOptions, *, live: bool) -> Terms:
        """Derive the limits from the options; raises `ConformError` if they exceed those of a live relay."""
        profile = options.profile or ("read" if live else "all")
        full = not live or options.operator
        cases = CASES if options.cases is None else options.cases
        wanted = options.fuzz if live else options.fuzz is not False
        if wanted:
            _require_generator()
        gentle = 1.0 if live and not options.operator else 0.0
        rate = options.rate
        if rate is not None and gentle and rate > 1:
            raise ConformError(
                f"--rate {rate:g}: a live relay gets at most one request per second; if you operate the "
                "relay, add --i-operate-this-relay"
            )
        submits = _submits(options, live=live)
        generated = wanted and cases and submits and not live and options.pay is None
        return cls(
            live=live,
            profile=profile,
            cases=cases if wanted else 0,
            mode="full" if full else "gentle",
            pause=gentle if rate is None else 1 / rate,
            spacing=(5.0 if live else 0.0) if options.spacing is None else options.spacing,
            deadline=30.0 if live else 10.0,
            submits=submits,
            stateful=STATEFUL if generated else 0,
        )


def _submits(options: ConformOptions, *, live: bool) -> int:
    """Return the maximum number of submits: on a live relay only those that the caller pays for."""
    if options.pay is not None:
        return min(options.pay, MOST_SUBMITS)
    whole = options.profile in {None, "all"} and options.max_requests is None
    return MOST_SUBMITS if whole and not live else 0


def _require_generator() -> None:
    """Raise `MissingExtraError` if Schemathesis is not installed, before any request is sent."""
    try:
        import_module("mjrelay_conformance.drivers.cases")
    except ModuleNotFoundError as error:
        raise MissingExtraError("conformance", error.name or "schemathesis") from error

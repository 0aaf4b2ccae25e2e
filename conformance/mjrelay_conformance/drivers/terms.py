"""What a run may do to a relay: how many requests, how fast, and for how long."""

from __future__ import annotations

from importlib import import_module

from attrs import frozen

from mjrelay.base import MissingExtraError
from mjrelay_conformance.drivers.options import ConformError, ConformOptions

CASES = 50
"""Requests of the property-based phase, unless the caller says how many."""


@frozen
class Terms:
    """What a run may do to a relay: ``live`` says that it costs money, the times are in seconds."""

    live: bool
    profile: str
    cases: int
    mode: str
    pause: float
    spacing: float
    deadline: float

    @classmethod
    def of(cls, options: ConformOptions, *, live: bool) -> Terms:
        """The terms for a relay; raises `ConformError` for what a live one is to be spared."""
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
                f"--rate {rate:g}: a live relay gets one request a second at most, unless you operate it "
                "and say so with --i-operate-this-relay"
            )
        return cls(
            live=live,
            profile=profile,
            cases=cases if wanted else 0,
            mode="full" if full else "gentle",
            pause=gentle if rate is None else 1 / rate,
            spacing=(5.0 if live else 0.0) if options.spacing is None else options.spacing,
            deadline=30.0 if live else 10.0,
        )


def _require_generator() -> None:
    """Raise `MissingExtraError` where what makes cases is not installed; before anything is sent."""
    try:
        import_module("mjrelay_conformance.drivers.cases")
    except ModuleNotFoundError as error:
        raise MissingExtraError("conformance", error.name or "schemathesis") from error

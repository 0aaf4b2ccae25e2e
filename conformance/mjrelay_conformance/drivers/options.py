"""What a run of the suite is asked to do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from attrs import frozen

from mjrelay.base import MjrelayError

if TYPE_CHECKING:
    from pathlib import Path


MAX_TIME = 600.0
"""Seconds that a run has for a relay, unless the caller says how many."""


class Asked(Protocol):
    """What every run that judges a relay may be asked, whoever sends the requests."""

    @property
    def base_url(self) -> str | None:
        """Where the relay is."""

    @property
    def tasks(self) -> tuple[str, ...]:
        """Known tasks, as ID or ID=STATE."""

    @property
    def strict(self) -> bool:
        """Whether every finding counts."""

    @property
    def globs(self) -> tuple[str, ...]:
        """Of the ids of the checks that are used."""

    @property
    def excluded(self) -> tuple[str, ...]:
        """Of the ids of those that are not."""

    @property
    def baseline(self) -> Path | None:
        """The file of accepted findings."""

    @property
    def overlays(self) -> tuple[Path, ...]:
        """Changes to the contract."""


@frozen
class ConformOptions:
    """What one run is asked to do; see the options of ``mjrelay conform``."""

    relay: str | None = None
    base_url: str | None = None
    tasks: tuple[str, ...] = ()
    profile: str | None = None
    fuzz: bool | None = None
    cases: int | None = None
    strict: bool = False
    dry_run: bool = False
    globs: tuple[str, ...] = ()
    excluded: tuple[str, ...] = ()
    baseline: Path | None = None
    overlays: tuple[Path, ...] = ()
    report_dir: Path | None = None
    key_file: Path | None = None
    rate: float | None = None
    max_requests: int | None = None
    max_time: float = MAX_TIME
    spacing: float | None = None
    yes: bool = False
    operator: bool = False
    seed: int = 0


class ConformError(MjrelayError):
    """The run that was asked for makes no sense."""

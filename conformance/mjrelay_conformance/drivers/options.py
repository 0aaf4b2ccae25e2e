"""The options of a run of the suite."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import frozen

from mjrelay.base import MjrelayError

if TYPE_CHECKING:
    from pathlib import Path

    from mjrelay_conformance.judging import Record


MAX_TIME = 600.0
"""Default time limit of a run for one relay, in seconds."""


@frozen(kw_only=True)
class SuiteOptions:
    """
    Options that ``mjrelay conform`` and ``mjrelay replay`` share.

    Attributes:
        base_url: The base URL of the relay.
        label: The name of the relay in reports, if it is not that of its contract.
        tasks: Known tasks, each as ``ID`` or ``ID=STATE``.
        strict: Whether every finding counts, not only those of level MUST.
        globs: Patterns of the ids of the checks to use; empty for all.
        excluded: Patterns of the ids of the checks to leave out.
        baseline: The file of accepted findings.
        overlays: Overlays to apply to the contract.
        report_dir: The directory for the record.
        key_file: The file with the API key.
    """

    base_url: str | None = None
    label: str | None = None
    tasks: tuple[str, ...] = ()
    strict: bool = False
    globs: tuple[str, ...] = ()
    excluded: tuple[str, ...] = ()
    baseline: Path | None = None
    overlays: tuple[Path, ...] = ()
    report_dir: Path | None = None
    key_file: Path | None = None


@frozen(kw_only=True)
class ConformOptions(SuiteOptions):
    """The options of ``mjrelay conform``; its help describes them."""

    relay: str | None = None
    profile: str | None = None
    fuzz: bool | None = None
    cases: int | None = None
    dry_run: bool = False
    rate: float | None = None
    max_requests: int | None = None
    max_time: float = MAX_TIME
    spacing: float | None = None
    yes: bool = False
    operator: bool = False
    key_in_url: bool = False
    seed: int = 0
    pay: int | None = None


class ConformError(MjrelayError):
    """The options of a run are invalid."""


class InterruptedRunError(KeyboardInterrupt):
    """Ctrl-C ended a run; ``record`` is what it found until then."""

    def __init__(self, record: Record) -> None:
        super().__init__()
        self.record = record

"""The door of mjrelay_conformance.judging."""

from mjrelay_conformance.judging.baseline import Baseline
from mjrelay_conformance.judging.checking import (
    CHECKS,
    PASSED,
    Check,
    Judgement,
    Level,
    Outcome,
    Row,
    check,
    failed,
    findings,
    judge,
    not_applicable,
)
from mjrelay_conformance.judging.observation import OVERLONG, REFUSED, Kind, Observation
from mjrelay_conformance.judging.record import FORMAT, Record, draft, schema_text
from mjrelay_conformance.judging.samples import another
from mjrelay_conformance.judging.schema import Schema, schema_of
from mjrelay_conformance.judging.verdicts import Verdict, features, verdict

__all__ = [
    "CHECKS",
    "FORMAT",
    "OVERLONG",
    "PASSED",
    "REFUSED",
    "Baseline",
    "Check",
    "Judgement",
    "Kind",
    "Level",
    "Observation",
    "Outcome",
    "Record",
    "Row",
    "Schema",
    "Verdict",
    "another",
    "check",
    "draft",
    "failed",
    "features",
    "findings",
    "judge",
    "not_applicable",
    "schema_of",
    "schema_text",
    "verdict",
]

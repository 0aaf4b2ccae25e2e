"""
Observations, the definition of checks, verdicts and the record.

This package imports only mjrelay. It contains no checks and no mock, and sends no requests.
"""

from mjrelay_conformance.judging.baseline import Baseline
from mjrelay_conformance.judging.checking import (
    PASSED,
    Check,
    Judgement,
    Level,
    Outcome,
    Row,
    blocked,
    define_check,
    failed,
    findings,
    inconclusive,
    judge_observation,
    not_applicable,
)
from mjrelay_conformance.judging.observation import OVERLONG, REFUSED, SUBMITS, UNUSUAL, Kind, Observation
from mjrelay_conformance.judging.record import FORMAT, Record, draft_path, replacing_file, schema_text
from mjrelay_conformance.judging.schema import Place, Schema, schema_of
from mjrelay_conformance.judging.submits import submit_of
from mjrelay_conformance.judging.verdicts import Coverage, Verdict, features, reach_verdict, worst

__all__ = [
    "FORMAT",
    "OVERLONG",
    "PASSED",
    "REFUSED",
    "SUBMITS",
    "UNUSUAL",
    "Baseline",
    "Check",
    "Coverage",
    "Judgement",
    "Kind",
    "Level",
    "Observation",
    "Outcome",
    "Place",
    "Record",
    "Row",
    "Schema",
    "Verdict",
    "blocked",
    "define_check",
    "draft_path",
    "failed",
    "features",
    "findings",
    "inconclusive",
    "judge_observation",
    "not_applicable",
    "reach_verdict",
    "replacing_file",
    "schema_of",
    "schema_text",
    "submit_of",
    "worst",
]

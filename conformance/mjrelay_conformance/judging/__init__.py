"""
What is known of an exchange, and what is judged of it: observations, checks, verdicts and the record.

It may import mjrelay alone; no check, no mock and nothing that sends a request belongs here.
"""

from mjrelay_conformance.judging.baseline import Baseline
from mjrelay_conformance.judging.checking import (
    CHECKS,
    PASSED,
    Check,
    Judgement,
    Level,
    Outcome,
    Row,
    failed,
    findings,
    judge_observation,
    not_applicable,
    register_check,
)
from mjrelay_conformance.judging.observation import OVERLONG, REFUSED, Kind, Observation
from mjrelay_conformance.judging.record import FORMAT, Record, draft_path, replacing_file, schema_text
from mjrelay_conformance.judging.samples import another_text
from mjrelay_conformance.judging.schema import Schema, schema_of
from mjrelay_conformance.judging.verdicts import Verdict, features, reach_verdict

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
    "another_text",
    "draft_path",
    "failed",
    "features",
    "findings",
    "judge_observation",
    "not_applicable",
    "reach_verdict",
    "register_check",
    "replacing_file",
    "schema_of",
    "schema_text",
]

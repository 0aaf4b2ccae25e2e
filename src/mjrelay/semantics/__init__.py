"""Readers of relay documents, compiled from `x-mj-task` and `x-mj-submit`. No I/O."""

from mjrelay.semantics.compiler import FormError, compile_reader
from mjrelay.semantics.matcher import Matcher
from mjrelay.semantics.outcomes import AnswerReader, Charged, MayResend, Receipt, SubmitOutcome
from mjrelay.semantics.paths import JSONPath, body_with, compile_query, parse_expression
from mjrelay.semantics.predicate import compile_predicate, same_value
from mjrelay.semantics.reader import Batch, Button, Reader, Seed, State, Timestamp
from mjrelay.semantics.submission import (
    ARGUMENTS,
    MEDIA,
    TEXTS,
    Place,
    Placement,
    SubmitForm,
    compile_submits,
)
from mjrelay.semantics.values import is_number, scalar_text

__all__ = [
    "ARGUMENTS",
    "MEDIA",
    "TEXTS",
    "AnswerReader",
    "Batch",
    "Button",
    "Charged",
    "FormError",
    "JSONPath",
    "Matcher",
    "MayResend",
    "Place",
    "Placement",
    "Reader",
    "Receipt",
    "Seed",
    "State",
    "SubmitForm",
    "SubmitOutcome",
    "Timestamp",
    "body_with",
    "compile_predicate",
    "compile_query",
    "compile_reader",
    "compile_submits",
    "is_number",
    "parse_expression",
    "same_value",
    "scalar_text",
]

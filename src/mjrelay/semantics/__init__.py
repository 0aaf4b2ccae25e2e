"""Readers of relay documents, compiled from `x-mj-task`: state, progress, times, media. No I/O."""

from mjrelay.semantics.compiler import FormError, compile_reader
from mjrelay.semantics.matcher import Matcher
from mjrelay.semantics.paths import JSONPath, body_with, compile_query, parse_expression
from mjrelay.semantics.predicate import compile_predicate, same_value
from mjrelay.semantics.reader import Batch, Button, Reader, Seed, State, Timestamp
from mjrelay.semantics.values import is_number, scalar_text

__all__ = [
    "Batch",
    "Button",
    "FormError",
    "JSONPath",
    "Matcher",
    "Reader",
    "Seed",
    "State",
    "Timestamp",
    "body_with",
    "compile_predicate",
    "compile_query",
    "compile_reader",
    "is_number",
    "parse_expression",
    "same_value",
    "scalar_text",
]

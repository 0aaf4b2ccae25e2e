"""The door of mjrelay.semantics."""

from mjrelay.semantics.compiler import FormError, compile_reader
from mjrelay.semantics.matcher import Matcher
from mjrelay.semantics.paths import Path, ask, nested
from mjrelay.semantics.predicate import compile_predicate, same
from mjrelay.semantics.reader import Batch, Button, Reader, Seed, State, Timestamp
from mjrelay.semantics.values import is_number, text

__all__ = [
    "Batch",
    "Button",
    "FormError",
    "Matcher",
    "Path",
    "Reader",
    "Seed",
    "State",
    "Timestamp",
    "ask",
    "compile_predicate",
    "compile_reader",
    "is_number",
    "nested",
    "same",
    "text",
]

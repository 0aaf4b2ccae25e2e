"""
The checks, one module for each family.

A check stands behind those that it needs, so the families are imported in the order of an answer's journey:
it arrives, it has the right status, it is JSON, it fits the schema, it makes sense, it stays.
"""

# ruff: noqa: I001 - the order is the order of judging
from mjrelay_conformance.checks import transport
from mjrelay_conformance.checks import status
from mjrelay_conformance.checks import representation
from mjrelay_conformance.checks import envelope
from mjrelay_conformance.checks import schema
from mjrelay_conformance.checks import task
from mjrelay_conformance.checks import relations
from mjrelay_conformance.checks import auth
from mjrelay_conformance.checks import sequence
from mjrelay_conformance.checks import caching
from mjrelay_conformance.checks import methods
from mjrelay_conformance.checks import batch

__all__ = [
    "auth",
    "batch",
    "caching",
    "envelope",
    "methods",
    "relations",
    "representation",
    "schema",
    "sequence",
    "status",
    "task",
    "transport",
]

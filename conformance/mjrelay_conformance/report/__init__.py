"""The door of mjrelay_conformance.report."""

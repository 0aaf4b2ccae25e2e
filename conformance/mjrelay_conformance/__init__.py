"""The conformance suite: checks, the plan, the probe, the mock relay and the record of a run."""

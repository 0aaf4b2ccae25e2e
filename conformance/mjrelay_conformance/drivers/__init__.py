"""
Drivers of the suite: the plan, the probe, the runner, the property-based phase, the monitor, the self-test.

This package imports checks, mock and judging. Only this package sends requests and decides which to send.
"""

from mjrelay_conformance.drivers.monitor import LiveJudge
from mjrelay_conformance.drivers.options import ConformOptions, InterruptedRunError, SuiteOptions
from mjrelay_conformance.drivers.output import command_line, results_file
from mjrelay_conformance.drivers.plan import KnownTask
from mjrelay_conformance.drivers.run import judge_relays
from mjrelay_conformance.drivers.runner import Judge

__all__ = [
    "ConformOptions",
    "InterruptedRunError",
    "Judge",
    "KnownTask",
    "LiveJudge",
    "SuiteOptions",
    "command_line",
    "judge_relays",
    "results_file",
]

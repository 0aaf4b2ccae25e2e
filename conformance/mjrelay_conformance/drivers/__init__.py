"""
What puts a relay to the test: the plan, the probe, the runner, the judge of a monitor, and the self-test.

It may import checks, mock and judging; what sends requests, or decides which are sent, belongs here.
"""

from mjrelay_conformance.drivers.monitor import LiveJudge
from mjrelay_conformance.drivers.options import ConformOptions
from mjrelay_conformance.drivers.output import command_line, results_file
from mjrelay_conformance.drivers.plan import KnownTask
from mjrelay_conformance.drivers.run import judge_relays
from mjrelay_conformance.drivers.runner import Judge

__all__ = [
    "ConformOptions",
    "Judge",
    "KnownTask",
    "LiveJudge",
    "command_line",
    "judge_relays",
    "results_file",
]

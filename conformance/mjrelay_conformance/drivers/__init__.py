"""The door of mjrelay_conformance.drivers."""

from mjrelay_conformance.drivers.conform import command_line, results_file
from mjrelay_conformance.drivers.monitor import LiveJudge
from mjrelay_conformance.drivers.plan import KnownTask
from mjrelay_conformance.drivers.runner import Judge

__all__ = ["Judge", "KnownTask", "LiveJudge", "command_line", "results_file"]

"""
Recorded traffic: read it, redact its secrets and judge it without sending requests.

This package may import `drivers` and whatever they import. Support for recording formats belongs here.
"""

from mjrelay_conformance.replay.driver import ReplayOptions, replay_traffic
from mjrelay_conformance.replay.files import TrafficError, read_traffic

__all__ = ["ReplayOptions", "TrafficError", "read_traffic", "replay_traffic"]

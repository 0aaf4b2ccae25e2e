"""
Recorded traffic: reading it, taking the secrets out of it, and judging it without a request.

It may import drivers and what they import; each format of recordings belongs here.
"""

from mjrelay_conformance.replay.driver import ReplayOptions, replay_traffic
from mjrelay_conformance.replay.files import TrafficError, read_traffic

__all__ = ["ReplayOptions", "TrafficError", "read_traffic", "replay_traffic"]

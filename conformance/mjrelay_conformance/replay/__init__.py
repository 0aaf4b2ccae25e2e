"""Recorded traffic, judged as what was sent would be, and for no more than the recording proves."""

from mjrelay_conformance.replay._entry import UNRECORDED, Entry, Unreadable
from mjrelay_conformance.replay._file import TrafficError, read
from mjrelay_conformance.replay._replay import Options, replay

__all__ = ["UNRECORDED", "Entry", "Options", "TrafficError", "Unreadable", "read", "replay"]

"""The door of mjrelay_conformance.replay."""

from mjrelay_conformance.replay.driver import Options, replay
from mjrelay_conformance.replay.entries import UNRECORDED, Entry, Unreadable
from mjrelay_conformance.replay.files import TrafficError, read

__all__ = ["UNRECORDED", "Entry", "Options", "TrafficError", "Unreadable", "read", "replay"]

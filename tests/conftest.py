"""Settings for all tests."""

import gc
import signal

from certificates import certificates
from hypothesis import settings
from peers import _release_ports
from services import postgres_url, redis_url

__all__ = ["_release_ports", "certificates", "postgres_url", "redis_url"]

# Examples have no deadline: how long one takes says nothing on a busy machine.
settings.register_profile("patient", parent=settings.default, deadline=None, max_examples=30)
settings.load_profile("patient")

# A parent such as `nohup … &` ignores SIGINT, and commands under test would inherit that instead of stopping.
signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_finish() -> None:
    """Leave what is loaded by now out of garbage collections: thousands of tests and contracts never end."""
    gc.collect()
    gc.freeze()

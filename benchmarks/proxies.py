"""The environment of a company network: a proxy that excludes loopback, and certificates."""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

import certifi

if TYPE_CHECKING:
    from collections.abc import Iterator

NOWHERE = "http://127.0.0.1:9"
VARIABLES = {
    "HTTP_PROXY": NOWHERE,
    "HTTPS_PROXY": NOWHERE,
    "NO_PROXY": "127.0.0.1,localhost",
    "SSL_CERT_FILE": certifi.where(),
}
"""A request to the proxy would fail: no process listens there."""


@contextmanager
def proxy_environment() -> Iterator[None]:
    """Set the variables temporarily."""
    before = {name: os.environ.get(name) for name in VARIABLES}
    os.environ.update(VARIABLES)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value

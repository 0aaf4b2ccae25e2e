"""Fixtures of the tests of transports."""

from senders import _no_environment, clients, kind, make, make_client, make_routed

__all__ = ["_no_environment", "clients", "kind", "make", "make_client", "make_routed"]

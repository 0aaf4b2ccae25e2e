"""
Receive the callbacks of relays: an ASGI app for Starlette, FastAPI or any ASGI server.

A callback shortens the wait and decides nothing: the app takes the id alone, and fetches the task.
"""

from mjrelay.callbacks.endpoint import CallbackEndpoint, Reply
from mjrelay.callbacks.receiver import Callbacks, app

__all__ = ["CallbackEndpoint", "Callbacks", "Reply", "app"]

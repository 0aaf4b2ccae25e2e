"""Applications that send given responses, and bodies of tasks."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from mjrelay.contract import load_contract

if TYPE_CHECKING:
    from collections.abc import Callable

KEY = "sk-never-to-be-seen-4711"

JSON = {"content-type": "application/json"}

HTML = {"content-type": "text/html"}


def app(*answers: tuple[int, bytes, dict[str, str]], seen: list[Any] | None = None) -> Callable[..., Any]:
    """An application that sends these responses in turn and repeats the last; ``seen`` records requests."""
    turns = iter(answers)
    last = answers[-1]

    async def application(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        if seen is not None:
            seen.append(scope)
        status, body, headers = next(turns, last)
        fields = [(name.encode(), value.encode()) for name, value in headers.items()]
        await send({"type": "http.response.start", "status": status, "headers": fields})
        await send({"type": "http.response.body", "body": body})

    return application


def document(state: str, task_id: str = "1", **changes: Any) -> bytes:
    """The body of an example of the contract."""
    return json.dumps({**load_contract("zhongzhuan").examples[state], "id": task_id, **changes}).encode()

"""The fetched tasks: the examples of a relay's contract."""

from __future__ import annotations

import json
from functools import cache
from importlib import resources
from typing import Any

RELAY = "zhongzhuan"
ALONE = "apiai"
"""A relay with the same paths, without a batch endpoint."""
KEY = "sk-0123456789abcdef0123456789abcdef0123456789abcdef"
PATH = "/mj/task/{id}/fetch"


@cache
def contract(relay: str = RELAY) -> Any:
    """Return the relay's contract, as its generated client contains it."""
    text = (resources.files("mjrelay_clients") / relay / "contract.json").read_text(encoding="utf-8")
    return json.loads(text)


@cache
def examples(relay: str = RELAY) -> dict[str, Any]:
    """Return the example tasks of the contract, by name."""
    media = contract(relay)["paths"][PATH]["get"]["responses"]["200"]["content"]["application/json"]
    return {name: example["value"] for name, example in media["examples"].items()}


def body(name: str = "succeeded", relay: str = RELAY, **changes: Any) -> bytes:
    """Return an example as compact JSON, with changes."""
    document = {**examples(relay)[name], **changes}
    return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()


ID: str = examples()["succeeded"]["id"]
TARGET = PATH.replace("{id}", ID)

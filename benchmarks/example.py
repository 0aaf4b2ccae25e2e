"""What is fetched: a relay's own examples of tasks, and the contract they stand in."""

from __future__ import annotations

import json
from functools import cache
from importlib import resources
from typing import Any

RELAY = "zhongzhuan"
ALONE = "apiai"
"""A relay of the same paths that takes one id at a time."""
KEY = "sk-0123456789abcdef0123456789abcdef0123456789abcdef"
PATH = "/mj/task/{id}/fetch"


@cache
def contract(relay: str = RELAY) -> Any:
    """The relay's contract, as its generated client holds it."""
    text = (resources.files("mjrelay_clients") / relay / "contract.json").read_text(encoding="utf-8")
    return json.loads(text)


@cache
def examples(relay: str = RELAY) -> dict[str, Any]:
    """The documents of tasks in the contract, by name."""
    media = contract(relay)["paths"][PATH]["get"]["responses"]["200"]["content"]["application/json"]
    return {name: example["value"] for name, example in media["examples"].items()}


def body(name: str = "succeeded", relay: str = RELAY, **changes: Any) -> bytes:
    """An example as compact JSON, with some members changed."""
    document = {**examples(relay)[name], **changes}
    return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()


ID: str = examples()["succeeded"]["id"]
TARGET = PATH.replace("{id}", ID)

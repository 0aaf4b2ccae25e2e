"""Accept task ids and base URLs as users paste them: with white space, or as the URL of a task."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, unquote, urlsplit

from mjrelay.base import SettingError
from mjrelay.http import shown_url
from mjrelay.semantics import parse_expression

if TYPE_CHECKING:
    from mjrelay.contract.document import Contract


_URL = re.compile(r"https?://", re.IGNORECASE)


def is_url(text: object) -> bool:
    """Return whether this is text that begins like an http or https URL."""
    return isinstance(text, str) and _URL.match(text.strip()) is not None


def checked_id(contract: Contract, task_id: object) -> str:
    """
    Return a task id without surrounding white space. The URL of a task stands for the id in it.

    Raises:
        SettingError: It is not text, empty, another URL, or cannot be encoded.
    """
    if not isinstance(task_id, str) or not task_id.strip():
        plain = isinstance(task_id, str | int | float | None)
        shown = repr(task_id) if plain else f"a value of type {type(task_id).__name__}"
        raise SettingError(f"{shown} is not a task id; pass a string, as the relay returned it")
    task_id = task_id.strip()
    if is_url(task_id):
        found = _id_in(contract, task_id)
        if not found:
            raise SettingError(
                f"{shown_url(task_id)} is not the URL of a task of {contract.name}, which is "
                f"{contract.method} {contract.path}; pass the task's id"
            )
        task_id = found
    try:
        task_id.encode("utf-8")
    except UnicodeEncodeError as error:
        raise SettingError("the id cannot be encoded as UTF-8; pass it as the relay returned it") from error
    return task_id


def without_endpoint(contract: Contract, url: str) -> str:
    """Return a base URL without the path of the fetch operation, if it ends with that."""
    ending = _ending(contract, url)
    # A path of parameters alone matches every URL.
    return (
        url
        if ending is None or all("{" in own for _, own in ending)
        else "/".join(url.split("/")[: -len(ending)])
    )


def _id_in(contract: Contract, url: str) -> str | None:
    place, name = parse_expression(contract.reader.ask)
    ending = _ending(contract, url)
    if ending is None:
        return None
    if place == "query":
        return dict(parse_qsl(urlsplit(url).query)).get(name)
    return next((unquote(part) for part, own in ending if (place, own) == ("path", f"{{{name}}}")), None)


def _ending(contract: Contract, url: str) -> list[tuple[str, str]] | None:
    """Return the last segments of a URL beside those of the fetch path, or None if they differ."""
    own = contract.path.strip("/").split("/")
    parts = urlsplit(url).path.strip("/").split("/")
    pairs = list(zip(parts[-len(own) :], own, strict=False))
    fits = len(parts) >= len(own) and all(part == step or (part and "{" in step) for part, step in pairs)
    return pairs if fits else None

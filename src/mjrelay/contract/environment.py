"""
API keys and base URLs from environment variables and files.

No option takes a key itself, because other users of the machine can read command lines.
"""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

from mjrelay.base import SettingError, read_file, setting_name
from mjrelay.contract.loading import relay_names
from mjrelay.contract.pasted import without_endpoint
from mjrelay.http import checked_url

if TYPE_CHECKING:
    from pathlib import Path

    from mjrelay.contract.document import Contract


_LARGEST_KEY = 1 << 16
"""Bytes of a key file."""
_ANY = "MJRELAY_API_KEY"
"""The environment variable with the API key for any relay."""
_PREFIX = re.compile(r"(?:authorization:\s*)?bearer(?:\s+|\Z)", re.IGNORECASE)
"""What is copied with a key from a header field."""


def environment_key(contract: Contract, base_url: str | None) -> str | None:
    """
    Return the API key to send to a relay, from the environment.

    ``MJRELAY_<RELAY>_API_KEY`` comes before ``MJRELAY_API_KEY``. If only a contract file that is not packaged
    names the host, only the relay's own variable is used. Otherwise the author of the file would decide who
    receives the key.

    Args:
        contract: The relay's contract.
        base_url: The base URL that the caller passed, if any.
    """
    if contract.foreign and not (base_url or environment_url()):
        return _variable(key_variable(contract.name)) if _own(contract) else None
    return known_key(contract.name)


def known_key(relay: str) -> str | None:
    """Return the API key that the environment has for a relay. Use it to redact, not to send."""
    return _variable(key_variable(relay)) or _variable(_ANY)


def _variable(name: str) -> str | None:
    return pasted_key(os.environ.get(name, "")) or None


def missing_key(contract: Contract) -> str:
    """Return why a relay has no API key, and what to do."""
    own, otherwise = key_variable(contract.name), f"give {setting_name('api_key')}"
    held = own if _variable(own) else _ANY
    if not _variable(held):
        return f"no key for {contract.name}: set {own} or {_ANY}, or {otherwise}"
    spare = f"set {own}, {otherwise}," if held == _ANY and _own(contract) else f"{otherwise},"
    file = contract.clause("servers", 0, "url").file
    return (
        f"{held} is not sent to {contract.base_url}, because only {file} names this host for "
        f"{contract.name}: "
        f"{spare} or confirm the host with {setting_name('base_url')} or MJRELAY_BASE_URL"
    )


def _own(contract: Contract) -> bool:
    """Return whether the name is not that of a packaged relay with another host."""
    return not contract.foreign or contract.name not in relay_names()


def key_variable(relay: str) -> str:
    """Return the environment variable with the API key of one relay."""
    return f"MJRELAY_{relay.upper()}_API_KEY"


def pasted_key(text: str) -> str:
    """Return a key without surrounding white space and without ``Bearer``, which the client adds itself."""
    text = text.strip()
    prefix = _PREFIX.match(text)
    return text[prefix.end() :] if prefix else text


def checked_key(key: str) -> str:
    """Return `pasted_key`. Raise `SettingError`, without the key, if no header field can carry it."""
    if not isinstance(key, str):
        raise SettingError(f"the key is of type {type(key).__name__}; give it as a string")
    key = pasted_key(key)
    if not key:
        environment = f", or omit {setting_name('api_key')} to take it from the environment"
        raise SettingError(f"the key is empty; give a key{environment}")
    if not all("!" <= character <= "~" for character in key):
        raise SettingError("the key has white space or non-ASCII characters inside; copy it once more")
    if len(key) < 4:
        raise SettingError(
            "the key has fewer than 4 characters, too few to redact it from output; use a longer one"
        )
    return key


def read_key(path: Path) -> str:
    """Return the `pasted_key` of a file or a pipe. Raises `SettingError` if there is none."""
    try:
        key = pasted_key(read_file(path, _LARGEST_KEY, pipe=True).decode("utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise SettingError(f"{path}: the key cannot be read; check the path ({reason})") from error
    if not key:
        raise SettingError(f"{path}: holds no key; write the key on its first line")
    return key


def resolve_base_url(given: str | None, contract: Contract) -> str:
    """
    Return the base URL of a relay: the given one, ``MJRELAY_BASE_URL``, or the contract's server.

    The URL of a task stands for the base URL in it.

    Raises:
        SettingError: There is no base URL, or it is not an http or https URL.
    """
    url = given if given is not None else environment_url() or contract.base_url
    if url is None:
        option = setting_name("base_url")
        raise SettingError(f"the contract of {contract.name} names no host; pass one with {option}")
    return without_endpoint(contract, checked_url(url))


def environment_url() -> str | None:
    """Return the value of ``MJRELAY_BASE_URL``, or None."""
    return os.environ.get("MJRELAY_BASE_URL") or None

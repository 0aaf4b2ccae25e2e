"""
API keys and base URLs from environment variables and files.

No option takes a key itself, because other users of the machine can read command lines.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from mjrelay.base import SettingError, read_file
from mjrelay.contract.loading import relay_names
from mjrelay.http import checked_url

if TYPE_CHECKING:
    from pathlib import Path

    from mjrelay.contract.document import Contract


_LARGEST_KEY = 1 << 16
"""Bytes of a key file."""
_ANY = "MJRELAY_API_KEY"
"""The environment variable with the API key for any relay."""


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
        return os.environ.get(key_variable(contract.name)) or None if _own(contract) else None
    return known_key(contract.name)


def known_key(relay: str) -> str | None:
    """Return the API key that the environment has for a relay. Use it to redact, not to send."""
    return os.environ.get(key_variable(relay)) or os.environ.get(_ANY) or None


def missing_key(contract: Contract, otherwise: str) -> str:
    """Return why a relay has no API key and what to do. ``otherwise`` is another way to pass one."""
    own = key_variable(contract.name)
    held = own if os.environ.get(own) else _ANY
    if not os.environ.get(held):
        return f"no key for {contract.name}: set {own} or {_ANY}, or {otherwise}"
    spare = f"set {own}, {otherwise}," if held == _ANY and _own(contract) else f"{otherwise},"
    file = contract.clause("servers", 0, "url").file
    return (
        f"{held} is not sent to {contract.base_url}, because only {file} names this host for "
        f"{contract.name}: "
        f"{spare} or confirm the host with --base-url, base_url= or MJRELAY_BASE_URL"
    )


def _own(contract: Contract) -> bool:
    """Return whether the name is not that of a packaged relay with another host."""
    return not contract.foreign or contract.name not in relay_names()


def key_variable(relay: str) -> str:
    """Return the environment variable with the API key of one relay."""
    return f"MJRELAY_{relay.upper()}_API_KEY"


def checked_key(key: str) -> str:
    """Return the key. Raises `SettingError` if no header field can carry it; the message omits the key."""
    if not key or not all("!" <= character <= "~" for character in key):
        raise SettingError("the key is empty, or has white space or non-ASCII characters; copy it once more")
    if len(key) < 4:
        raise SettingError(
            "the key has fewer than 4 characters, too few to redact it from output; use a longer one"
        )
    return key


def read_key(path: Path) -> str:
    """Return the key in a file or a pipe, stripped. Raises `SettingError` if there is none."""
    try:
        key = read_file(path, _LARGEST_KEY, pipe=True).decode("utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise SettingError(f"{path}: the key cannot be read; check the path ({reason})") from error
    if not key:
        raise SettingError(f"{path}: holds no key; write the key on its first line")
    return key


def resolve_base_url(given: str | None, contract_default: str | None, relay: str) -> str:
    """
    Return the base URL of a relay.

    Args:
        given: The base URL that the caller passed. The next choice is ``MJRELAY_BASE_URL``.
        contract_default: The server of the contract, which is the last choice.
        relay: The relay's name, for the message.

    Raises:
        SettingError: There is no base URL, or it is not an http or https URL.
    """
    url = given if given is not None else environment_url() or contract_default
    if url is None:
        raise SettingError(f"the contract of {relay} names no host; pass one with --base-url or base_url=")
    return checked_url(url)


def environment_url() -> str | None:
    """Return the value of ``MJRELAY_BASE_URL``, or None."""
    return os.environ.get("MJRELAY_BASE_URL") or None

"""What the environment says: credentials and base URLs, never on a command line where others see them."""

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
"""Bytes of a file with a key."""
_ANY = "MJRELAY_API_KEY"
"""The environment variable that holds the secret for whatever relay."""


def environment_key(contract: Contract, base_url: str | None) -> str | None:
    """
    The secret to be sent to a relay, from ``MJRELAY_<RELAY>_API_KEY``, else ``MJRELAY_API_KEY``, else None.

    ``base_url`` is the caller's own. Where neither they nor ``MJRELAY_BASE_URL`` say where the relay is, a
    host that only a file from outside names gets no secret that was not meant for this very contract: else
    whoever wrote the file would choose where the key goes.
    """
    if contract.foreign and not (base_url or environment_url()):
        return os.environ.get(key_variable(contract.name)) or None if _own(contract) else None
    return known_key(contract.name)


def known_key(relay: str) -> str | None:
    """The secret that the environment holds for a relay; to be compared with, and not to be sent."""
    return os.environ.get(key_variable(relay)) or os.environ.get(_ANY) or None


def missing_key(contract: Contract, otherwise: str) -> str:
    """Why there is no secret for a relay, and what to do; ``otherwise`` is how else one is given."""
    own = key_variable(contract.name)
    held = own if os.environ.get(own) else _ANY
    if not os.environ.get(held):
        return f"no key for {contract.name}: set {own} or {_ANY}, or {otherwise}"
    spare = f"set {own}, {otherwise}," if held == _ANY and _own(contract) else f"{otherwise},"
    file = contract.clause("servers", 0, "url").file
    return (
        f"{held} is not sent to {contract.base_url}, because only {file} says that {contract.name} is there: "
        f"{spare} or repeat where it is with --base-url, base_url= or MJRELAY_BASE_URL"
    )


def _own(contract: Contract) -> bool:
    """Whether a contract's name is its own, and not that of a packaged relay with another host."""
    return not contract.foreign or contract.name not in relay_names()


def key_variable(relay: str) -> str:
    """The environment variable that holds the secret for one relay."""
    return f"MJRELAY_{relay.upper()}_API_KEY"


def checked_key(key: str) -> str:
    """The key; raises `SettingError`, without it, for one that no header field can carry."""
    if not key or not all("!" <= character <= "~" for character in key):
        raise SettingError(
            "the key is empty or holds white space or characters beyond ASCII; copy it once more"
        )
    if len(key) < 4:
        raise SettingError("the key has fewer than 4 characters, too few to be kept out of what is shown")
    return key


def read_key(path: Path) -> str:
    """The secret in a file or a pipe, without the line's end; raises `SettingError` where there is none."""
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
    Where the relay is: as given, else ``MJRELAY_BASE_URL``, else the contract's own server.

    Raises `SettingError` where nobody says, or what is said is no http or https URL.
    """
    url = given if given is not None else environment_url() or contract_default
    if url is None:
        raise SettingError(f"the contract of {relay} names no host; give one with --base-url or base_url=")
    return checked_url(url)


def environment_url() -> str | None:
    """The base URL that ``MJRELAY_BASE_URL`` gives, if it does."""
    return os.environ.get("MJRELAY_BASE_URL") or None

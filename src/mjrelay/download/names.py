"""Names of files that are valid on every system and never shared."""

from __future__ import annotations

import re

PREVIEW = "-preview"

_RESERVED = re.compile(r"(?:con|prn|aux|nul|com[0-9]|lpt[0-9])(?:\..*)?")
_HASHED = re.compile(r".*-[0-9a-f]{16}")


def safe_name(text: str) -> str:
    """
    Return a name for a task or a relay that is valid in a file name, and unique to the text.

    A hash is appended if the text is not a valid name or could collide with another one. Upper case is such a
    case, because some file systems ignore case.
    """
    name = re.sub(r"[^A-Za-z0-9._-]", "_", text)[:80].lstrip(".-")
    kept = name and name == text == text.lower() and not name.endswith(PREVIEW)
    if kept and not _RESERVED.fullmatch(name) and not _HASHED.fullmatch(name):
        return name
    if _RESERVED.fullmatch(name.lower()):
        name = f"_{name}"
    return f"{name or 'task'}-{_digest(text, 16)}"


def source_name(relay: str, base_url: str, default_url: str | None) -> str:
    """
    Return the part of file names that names the server, since two servers may have tasks with the same id.

    Args:
        relay: The relay's name.
        base_url: The URL in use.
        default_url: The URL in the relay's contract, if any. Another URL adds a hash to the name.
    """
    return safe_name(relay) + ("" if base_url == default_url else f"-{_digest(base_url, 8)}")


def _digest(text: str, length: int) -> str:
    from hashlib import sha256  # noqa: PLC0415 - rarely needed

    return sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:length]

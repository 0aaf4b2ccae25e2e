"""How messages name a setting: as an argument in Python, or as an option of the command."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


_options: list[Mapping[str, str]] = []


def use_options(options: Mapping[str, str]) -> None:
    """Name settings as these options from now on, because this process is the command."""
    _options[:] = [options]


def setting_name(name: str, value: str | None = None) -> str:
    """Return what a user writes for a setting: ``scheme='x'`` in Python, ``--scheme x`` in the command."""
    option = _options[0].get(name) if _options else None
    if option is None:
        return f"{name}={'' if value is None else repr(value)}{' in Python' if _options else ''}"
    return option if value is None else f"{option} {value}"

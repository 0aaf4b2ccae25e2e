"""
What can go wrong, one class for each thing a caller would handle differently.

Every message says what happened and what to do next.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from os import PathLike


class MjrelayError(Exception):
    """The base of everything this package raises on purpose."""


class ContractError(MjrelayError):
    """
    A contract or an overlay cannot be used as it is written.

    ``source`` names the document and ``line`` the place (from 1), where they are known.
    """

    def __init__(
        self, message: str, *, source: str | PathLike[str] | None = None, line: int | None = None
    ) -> None:
        self.source = None if source is None else str(source)
        self.line = line
        place = "" if self.source is None else self.source + ("" if line is None else f":{line}") + ": "
        super().__init__(f"{place}{message}")

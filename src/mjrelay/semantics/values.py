"""Parse the formats in which relays write progress and times."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any, TypeGuard

from mjrelay.base import ContractError

if TYPE_CHECKING:
    from collections.abc import Callable


_NUMBER = re.compile(r"(-?[0-9]{1,20}(?:\.[0-9]{1,20})?)\s?(%?)", re.ASCII)
_OFFSET = re.compile(r"([+-])([0-9]{2}):([0-9]{2})", re.ASCII)
_PER_SECOND = {"s": 1, "ms": 1_000, "us": 1_000_000}
_CACHED = 16
"""Characters of a progress text that is cached: relays repeat about a hundred of them."""

PROGRESS_FORMATS = {"percent": 1, "fraction": 100}
TIME_FORMATS = (*_PER_SECOND, "iso8601")


def is_number(value: Any) -> TypeGuard[int | float]:
    """Return whether a JSON value is a number that a float can hold. Booleans and NaN are not."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and -1e300 < value < 1e300


def percent(value: Any, scale: int) -> float | None:
    """
    Return progress in percent, not limited to 0 to 100, or None if the value is not a number.

    A number with a percent sign is a percentage in every format.
    """
    if isinstance(value, str):
        return _cached(value, scale) if len(value) <= _CACHED else _spelled(value, scale)
    return _scaled(value, scale) if is_number(value) else None


def _spelled(value: str, scale: int) -> float | None:
    number = _NUMBER.fullmatch(value.strip())
    return None if number is None else _scaled(float(number[1]), 1 if number[2] else scale)


_cached = lru_cache(1024)(_spelled)


def _scaled(value: float, scale: int) -> float:
    return round(float(value) * scale, 9)  # 0.29 * 100 is not 29


def compile_time(form: str, zone: str | None) -> Callable[[Any], datetime | None]:
    """Return a parser of times in one format. It returns UTC times, or None for what it cannot parse."""
    if form == "iso8601":
        naive = UTC if zone is None else _zone(zone)
        return lambda value: _iso8601(value, naive)
    if form not in _PER_SECOND:
        raise ContractError(f"{form!r} is not a time format; write one of {', '.join(TIME_FORMATS)}")
    return partial(_unix, _PER_SECOND[form])


def _unix(per_second: int, value: Any) -> datetime | None:
    if isinstance(value, str) and value.isascii() and value.isdecimal() and len(value) <= 20:
        value = int(value)
    if isinstance(value, bool):
        return None
    try:
        return datetime.fromtimestamp(value / per_second, UTC)
    except (TypeError, ValueError, OverflowError, OSError):
        return None


def _iso8601(value: Any, naive: tzinfo) -> datetime | None:
    if not isinstance(value, str):
        return None
    try:
        moment = datetime.fromisoformat(value.strip())
        return (moment if moment.tzinfo is not None else moment.replace(tzinfo=naive)).astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def _zone(name: str) -> tzinfo:
    offset = _OFFSET.fullmatch(name)
    try:
        if offset is None:
            from zoneinfo import ZoneInfo  # noqa: PLC0415 - only a contract that names a zone needs it

            return ZoneInfo(name)
        minutes = int(offset[2]) * 60 + int(offset[3])
        return timezone(timedelta(minutes=-minutes if offset[1] == "-" else minutes))
    except (KeyError, ValueError, OSError) as error:
        raise ContractError(f"{name!r} is not a time zone; write +08:00 or Asia/Shanghai") from error


def scalar_text(value: Any) -> str | None:
    """Return text as it is and numbers as text. Everything else, and empty text, is None."""
    if isinstance(value, str):
        return value or None
    return str(value) if is_number(value) else None

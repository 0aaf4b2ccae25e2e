"""
Generate task documents from a contract's examples, with another id, other times and another progress.

Values are located through `x-mj-task` and keep the format that they have in the example.
"""

from __future__ import annotations

import copy
import json
import re
from datetime import UTC, datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from mjrelay.base import ContractError, Pattern
from mjrelay.semantics import JSONPath

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from mjrelay.base import Location
    from mjrelay.contract import Contract
    from mjrelay.semantics import State, Timestamp


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_UNITS = {"s": timedelta(seconds=1), "ms": timedelta(milliseconds=1), "us": timedelta(microseconds=1)}
_ISO8601 = re.compile(
    r"\s*\d{4}-\d{2}-\d{2}(?P<between>[T ])\d{2}:\d{2}:\d{2}"
    r"(?:[.](?P<fraction>\d+))?(?P<offset>Z|[+-][\d:]+)?\s*"
)
_SHORTEST_ID = 6
"""Length from which an id is replaced in other strings too."""


def write_task(
    contract: Contract,
    state: State,
    task_id: str,
    times: Mapping[str, datetime],
    progress: int | None = None,
    *,
    example: str | None = None,
) -> Any:
    """
    Return the document of a task in a state.

    ``times`` are by their names in `x-mj-task`; times that are unset in the example stay unset. ``example``
    is the name of the example to use; by default the one named after the state.

    Raises:
        ContractError: The contract has no example of the state.
    """
    if state.value not in contract.examples:
        raise ContractError(
            f"has no 200 example named {state.value}; add one to mock a task in this state",
            source=contract.source,
        )
    document = replace_id(contract, copy.deepcopy(contract.examples[example or state.value]), task_id)
    shown = _numeric_times(contract, document)
    for name, moment in times.items():
        set_time(contract, document, name, moment)
    _update_relations(contract, document, shown)
    if progress is not None:
        set_progress(contract, document, progress)
    return document


def replace_id(contract: Contract, document: Any, task_id: str) -> Any:
    """Return the document with another id, also in strings that contain the old one."""
    path = contract.reader.id_path
    old = path.first(document)
    if isinstance(old, str) and len(old) >= _SHORTEST_ID:
        document = _each_text(document, lambda text: text.replace(old, task_id))
    for location in path.locate(document):
        set_value(document, location, id_like(old, task_id))
    return document


def id_like(old: Any, task_id: str) -> Any:
    """Convert a task id to the JSON type of the id ``old``."""
    number = isinstance(old, int) and not isinstance(old, bool)
    return int(task_id) if number and task_id.isascii() and task_id.isdecimal() else task_id


def timestamps(contract: Contract) -> dict[str, Timestamp]:
    """Return the timestamps of the contract by name, in chronological order."""
    reader = contract.reader
    named = {"submitted": reader.submitted, "started": reader.started, "finished": reader.finished}
    return {name: stamp for name, stamp in named.items() if stamp is not None}


def set_time(contract: Contract, document: Any, name: str, moment: datetime) -> None:
    """Replace a time in the document and keep its format; an unset time stays unset."""
    stamp = timestamps(contract).get(name)
    shown = None if stamp is None else stamp.read(document)
    if stamp is None or shown is None:
        return
    unit = _UNITS.get(contract.operation["x-mj-task"]["times"]["format"])
    raw = stamp.raw(document)
    value = _iso8601(raw, moment.astimezone(_zone(raw, shown))) if unit is None else _unix(raw, moment, unit)
    set_values(document, stamp.path.locate(document), value)


def _numeric_times(contract: Contract, document: Any) -> dict[str, int]:
    """Return the integer timestamps of a document by path."""
    raw = {stamp.path.text: stamp.path.first(document) for stamp in timestamps(contract).values()}
    return {path: value for path, value in raw.items() if type(value) is int}


def _update_relations(contract: Contract, document: Any, before: Mapping[str, int]) -> None:
    """Update values that the contract's relations derive from a time, for instance a URL signature."""
    form = contract.operation["x-mj-task"]
    after = _numeric_times(contract, document)
    for relation in form.get("relations", ()):
        left, time = relation["left"], relation.get("equals", {}).get("path")
        base = _BASES.get(left.get("base"))
        if base is None or "capture" not in left or left["path"] == form["id"] or time not in after:
            continue
        shift = (after[time] - before[time]) // left.get("times", 1)
        path = JSONPath.compile(left["path"])
        for location in path.locate(document):
            text = path.first(document)
            match = Pattern.compile(left["capture"]).search(text) if isinstance(text, str) else None
            if match is not None:
                number = format(int(match[1], left["base"]) + shift, base)
                set_value(document, location, text[: match.start(1)] + number + text[match.end(1) :])


_BASES = {10: "d", 16: "x"}


def set_progress(contract: Contract, document: Any, percent: int) -> None:
    """Replace the progress in the document and keep its format; phrases stay."""
    reader = contract.reader
    if reader.progress_path is None or reader.percent(document) is None:
        return
    raw = reader.progress_path.first(document)
    as_percent = contract.operation["x-mj-task"]["progress"]["format"] == "percent"
    value: Any = percent if as_percent or (isinstance(raw, str) and "%" in raw) else percent / 100
    if isinstance(raw, str):
        value = f"{value}%" if "%" in raw else str(value)
    elif isinstance(raw, float):
        value = float(value)
    set_values(document, reader.progress_path.locate(document), value)


def set_text(document: Any, path: JSONPath | None, text: str | None) -> None:
    """Replace the text at a path, where the document has one or an unset value."""
    for location in [] if path is None or text is None else path.locate(document):
        set_value(document, location, text)


def set_value(document: Any, location: Location, value: Any) -> None:
    """Set the value at a location, in place; the root cannot be set. A text of JSON is written anew."""
    for depth, step in enumerate(location[:-1], 1):
        if isinstance(inner := document[step], str):
            text = opened(inner)
            set_value(text, location[depth:], value)
            document[step] = json.dumps(text, ensure_ascii=False)
            return
        document = inner
    if location:
        document[location[-1]] = value


def opened(value: Any) -> Any:
    """Return a copy of the document that a text holds as JSON; any other value as it is."""
    return json.loads(value) if isinstance(value, str) else value


def set_values(document: Any, locations: Iterable[Location], value: Any) -> None:
    """Set the value at several locations, in place."""
    for location in locations:
        set_value(document, location, value)


def with_query_parameter(url: str, name: str, value: str) -> str:
    """Return a URL with a query parameter set."""
    changed, count = re.subn(rf"(?<=[?&]{name}=)[^&]*", value, url)
    if count:
        return changed
    joint = "" if url.endswith(("?", "&")) else "&" if "?" in url else "?"
    return f"{url}{joint}{name}={quote(value)}"


def replace_texts(document: Any, texts: Mapping[str, str]) -> Any:
    """Return a document in which strings that are keys of ``texts`` are replaced."""
    return _each_text(document, lambda text: texts.get(text, text))


def _each_text(node: Any, change: Callable[[str], str]) -> Any:
    match node:
        case str():
            return change(node)
        case dict():
            return {name: _each_text(value, change) for name, value in node.items()}
        case list():
            return [_each_text(value, change) for value in node]
        case _:
            return node


def _unix(raw: Any, moment: datetime, unit: timedelta) -> int | float | str:
    count = (moment - _EPOCH) // unit
    if isinstance(raw, str):
        return str(count)
    return (moment - _EPOCH) / unit if isinstance(raw, float) else count


def _zone(raw: str, shown: datetime) -> timezone:
    """Return the UTC offset that an ISO 8601 string was read with."""
    wall = datetime.fromisoformat(raw.strip()).replace(tzinfo=UTC)
    return timezone(wall - shown)


def _iso8601(raw: Any, moment: datetime) -> str:
    match = _ISO8601.fullmatch(raw)
    if match is None:
        return moment.isoformat()
    text = moment.strftime(f"%Y-%m-%d{match['between']}%H:%M:%S")
    if match["fraction"]:
        digits = len(match["fraction"])
        text += "." + f"{moment.microsecond:06}".ljust(digits, "0")[:digits]
    match match["offset"]:
        case None:
            return text
        case "Z":
            return text + "Z" if not moment.utcoffset() else text + moment.strftime("%z")
        case offset:
            written = moment.strftime("%z")
            return text + (f"{written[:3]}:{written[3:5]}" if ":" in offset else written[: len(offset)])

"""
A contract in the terms of who writes a client for it, as plain data.

What is asked and how, what comes and in which words, and how it says that there is nothing: all read from
the contract and its examples.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from attrs import frozen

from mjrelay.contract.schemas import COMBINING, combined_schemas
from mjrelay.semantics import JSONPath, State, parse_expression, same_value

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from mjrelay.base import Location
    from mjrelay.contract.document import Contract
    from mjrelay.semantics import Matcher


Term = tuple[str, ...]
"""What something is said of: the keys that lead to it in a profile."""

_NAMES = {"relay", "summary"}
"""What two contracts always differ in."""

_NOTHING: tuple[Any, ...] = (None, [], {})
"""What stands where a contract says nothing."""

_REFUSALS = ("missing", "unauthorized", "forbidden", "elsewhere")
_PLAIN = re.compile(r"[A-Za-z_]\w*", re.ASCII)
_QUOTED = re.compile(r"""\[(?:'([A-Za-z_]\w*)'|"([A-Za-z_]\w*)")\]""", re.ASCII)
_INDEX = re.compile(r"\[\d+\]|\.\*")


def contract_profile(contract: Contract) -> dict[str, Any]:
    """
    What a contract says, by terms; None where it says nothing.

    ``fields`` are what `x-mj-task` reads, by our names, ``extra`` what else the schema of a task has, by
    paths, and ``ignored`` the reasons why links among that are not read. ``unset`` says how the examples
    write that there is nothing, and in which states; ``words`` are the closed lists of the schema, and
    whether other words may come.
    """
    form, reader = contract.operation["x-mj-task"], contract.reader
    times = form.get("times", {})
    return {
        "relay": contract.name,
        "summary": contract.document.get("info", {}).get("summary"),
        "base_url": contract.base_url,
        "method": contract.method,
        "path": contract.path,
        "id": " ".join(parse_expression(reader.ask)),
        "auth": [str(credential) for credential in contract.credentials],
        "open": contract.open,
        "accept": form.get("accept"),
        "states": dict(form["states"]),
        "progress": {"format": form.get("progress", {}).get("format")},
        "times": {key: times.get(key) for key in ("format", "zone", "unset")},
        "fields": {name: _field(contract, name, ways) for name, ways in _ways(form).items()},
        "ignored": dict(form.get("ignored", {})),
        **{name: [_answer(contract, one) for one in getattr(reader, name)] for name in _REFUSALS},
        "refresh": reader.refresh,
        "batch": _batch(contract),
        "seed": _seed(contract),
        **_of_the_schema(contract),
    }


@frozen
class Difference:
    """What two contracts say differently; None stands where one of them says nothing."""

    term: Term
    left: Any
    right: Any


def profile_statements(profile: Mapping[str, Any], above: Term = ()) -> Iterator[tuple[Term, Any]]:
    """Each thing that a profile says, with what it is said of."""
    for key, value in profile.items():
        term = (*above, key)
        whole = not isinstance(value, dict) or key in {"unset", "accept"} or above == ("extra",)
        if whole:
            yield term, value
        else:
            yield from profile_statements(value, term)


def profile_differences(left: Mapping[str, Any], right: Mapping[str, Any]) -> list[Difference]:
    """
    Where two profiles differ, in their order.

    Of lists of words it is those that the other one has not, and their order says nothing.
    """
    ours, theirs = dict(profile_statements(left)), dict(profile_statements(right))
    found = []
    for term in _merged(list(ours), list(theirs)):
        mine, other = ours.get(term), theirs.get(term)
        if term[0] in {"states", "words"}:
            mine, other = _beyond(mine, other), _beyond(other, mine)
        silent = mine in _NOTHING and other in _NOTHING
        if (
            term[0] not in _NAMES
            and not silent
            and json.dumps(mine, sort_keys=True) != json.dumps(other, sort_keys=True)
        ):
            found.append(Difference(term, mine, other))
    return found


def _merged(left: list[Term], right: list[Term]) -> list[Term]:
    """All terms, those of one root together."""
    roots = list(dict.fromkeys(term[0] for term in (*left, *right)))
    return sorted(dict.fromkeys((*left, *right)), key=lambda term: roots.index(term[0]))


def _beyond(words: Any, others: Any) -> Any:
    if not isinstance(words, list) or not isinstance(others, list):
        return words
    known = [json.dumps(word, sort_keys=True) for word in others]
    return [word for word in words if json.dumps(word, sort_keys=True) not in known]


def _ways(form: Mapping[str, Any]) -> dict[str, list[Any]]:
    """Where each thing that is read of a task stands, by our names for it: paths, or paths with a scope."""
    times, buttons = form.get("times", {}), form.get("buttons", {})
    single = {
        **{name: form.get(name) for name in ("id", "kind", "prompt", "status")},
        "progress": form.get("progress", {}).get("path"),
        **{name: times.get(name) for name in ("submitted", "started", "finished")},
    }
    ways = {name: [path] for name, path in single.items() if path is not None}
    ways |= {name: form[name] for name in ("images", "videos", "inputs") if name in form}
    if buttons:
        ways["buttons"] = [buttons["items"]]
    return ways | ({"failure": form["failure"]} if "failure" in form else {})


def _field(contract: Contract, name: str, ways: list[Any]) -> dict[str, Any]:
    times = contract.operation["x-mj-task"].get("times", {})
    zeros = times.get("unset", []) if name in {"submitted", "started", "finished"} else []
    paths = [JSONPath.compile(_text(way)) for way in ways]
    return {"at": ways, "unset": _unset(contract, paths, zeros)}


def _unset(contract: Contract, paths: list[JSONPath], zeros: list[Any]) -> dict[str, list[str]]:
    """How the examples say that there is nothing at all of some paths, and in which states."""
    styles: dict[str, list[str]] = {}
    for state in State:
        if state.value not in contract.examples:
            continue
        told = [_nothing(path, contract.examples[state.value], zeros) for path in paths]
        if None not in told:
            style = " and ".join(dict.fromkeys(map(str, told)))
            styles.setdefault(style, []).append(state.value)
    return styles


def _nothing(path: JSONPath, document: Any, zeros: list[Any]) -> str | None:
    """How a document says that there is nothing at a path; None where there is something."""
    values = path.find(document) or _last(path, document)
    if not all(_is_empty(value, zeros) for value in values):
        return None
    return " and ".join(dict.fromkeys(map(json.dumps, values))) or "absent"


def _last(path: JSONPath, document: Any) -> list[Any]:
    """The last value on the way to what is not there, where the way ends at it: null, or an empty list."""
    way = path if path.array is None else JSONPath.compile(path.array)
    for step in way.location or ():
        try:
            document = document[step]
        except (KeyError, IndexError, TypeError):
            break
    return [document] if _is_empty(document) else []


def _is_empty(value: Any, zeros: list[Any] | None = None) -> bool:
    return value in ([], {}) or any(same_value(value, one) for one in (None, "", *(zeros or ())))


def _answer(contract: Contract, matcher: Matcher) -> dict[str, Any]:
    """An answer without a task: its status, what kind of body it has, and what that says."""
    kinds = [matcher.content] if matcher.content else list(contract.content(matcher.status))
    body = "empty" if matcher.empty else " or ".join(kinds) or None
    return {"status": matcher.status, "body": body, "where": matcher.where and dict(matcher.where)}


def _batch(contract: Contract) -> dict[str, Any] | None:
    batch = contract.reader.batch
    if batch is None or contract.batch is None:
        return None
    form = contract.operation["x-mj-task"]["batch"]
    ids = " ".join(parse_expression(batch.ids))
    return {**_where(contract.batch), "ids": ids, **{key: form.get(key) for key in ("items", "as", "limit")}}


def _seed(contract: Contract) -> dict[str, Any] | None:
    seed = contract.reader.seed
    if seed is None or contract.seed is None:
        return None
    return {**_where(contract.seed), "value": seed.value.text}


def _where(operation: Location) -> dict[str, str]:
    return {"method": str(operation[2]).upper(), "path": str(operation[1])}


def _of_the_schema(contract: Contract) -> dict[str, Any]:
    """The closed lists of words, and the fields that are not read."""
    read = {canonical_path(path) for path in _read(contract.operation["x-mj-task"])}
    words, extra = {}, {}
    for path, schemas in schema_fields(contract):
        if any("enum" in schema for schema in schemas):
            words[path] = {
                "words": [word for schema in schemas for word in schema.get("enum", ())],
                "open": any("enum" not in schema and schema.get("type") != "null" for schema in schemas),
            }
        if not any(one == path or one.startswith((f"{path}.", f"{path}[")) for one in read):
            unset = _unset(contract, [JSONPath.compile(path)], [])
            extra[path] = {"type": _type(schemas), "unset": unset}
    return {"words": words, "extra": extra}


def _read(form: Mapping[str, Any]) -> Iterator[str]:
    """The paths at which something is read of a task."""
    for name, ways in _ways(form).items():
        if name != "buttons":
            yield from map(_text, ways)
    buttons = form.get("buttons", {})
    for name in ("id", "label", "emoji"):
        if name in buttons:
            yield buttons["items"] + ("" if buttons[name] == "$" else _step(buttons[name]))
    yield from form.get("accept", ())
    for entries in form["states"].values():
        for entry in entries:
            yield from entry["where"] if isinstance(entry, dict) else ()


def schema_fields(contract: Contract) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """
    Yield the path of each field in a task's schema that holds no others, with its schemas.

    A field that may be text as well as an object is one of them, for its text.
    """
    schemas = [media["schema"] for media in contract.content(200).values() if "schema" in media]
    yield from _below(contract, schemas, "$", frozenset())


def _below(
    contract: Contract, schemas: list[Any], path: str, above: frozenset[int]
) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    plain = [
        one
        for _, one in combined_schemas(contract, *schemas)
        if "properties" in one or not any(one.get(keyword) for keyword in COMBINING)
    ]
    inner: dict[str, list[Any]] = {}
    for one in plain:
        if id(one) not in above:  # a schema that contains itself ends here
            for name, member in one.get("properties", {}).items():
                inner.setdefault(path + _step(name), []).append(member)
            if isinstance(one.get("items"), dict):
                inner.setdefault(f"{path}[*]", []).append(one["items"])
    for place, members in inner.items():
        yield from _below(contract, members, place, above | {id(one) for one in plain})
    texts = [one for one in plain if "string" in _types(one)]
    if not inner or texts:
        yield path, texts if inner else plain


def _type(schemas: Iterable[dict[str, Any]]) -> str:
    return " or ".join(dict.fromkeys(name for schema in schemas for name in _types(schema))) or "any"


def _types(schema: dict[str, Any]) -> list[str]:
    kind = schema.get("type", "any")
    return kind if isinstance(kind, list) else [kind]


def _text(way: Any) -> str:
    return str(way["path"] if isinstance(way, dict) else way)


def _step(name: str) -> str:
    return f".{name}" if _PLAIN.fullmatch(name) else f"[{json.dumps(name, ensure_ascii=False)}]"


def canonical_path(path: str) -> str:
    """A path as the schema's are written."""
    return _INDEX.sub("[*]", _QUOTED.sub(lambda found: f".{found[1] or found[2]}", path))

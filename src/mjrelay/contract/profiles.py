"""
The profile of a contract as plain data: what the author of a client needs to know about a relay.

It covers the requests, the fields and status values, and how the relay writes unset values. All of it is read
from the contract and its examples.
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
"""The keys that lead to a statement in a profile."""

_NAMES = {"relay", "summary"}
"""Keys that differ between any two contracts."""

_NOTHING: tuple[Any, ...] = (None, [], {})
"""Values that mean that a contract does not say."""

_REFUSALS = ("missing", "unauthorized", "forbidden", "elsewhere")
_PLAIN = re.compile(r"[A-Za-z_]\w*", re.ASCII)
_QUOTED = re.compile(r"""\[(?:'([A-Za-z_]\w*)'|"([A-Za-z_]\w*)")\]""", re.ASCII)
_INDEX = re.compile(r"\[\d+\]|\.\*")


def contract_profile(contract: Contract) -> dict[str, Any]:
    """
    Return the profile of a contract. None means that the contract does not say.

    ``fields`` has the parts that `x-mj-task` reads. ``extra`` has all other fields of a task's schema, by
    path, and ``ignored`` the reasons why links among them are not read. ``unset`` is how the examples
    write an unset value, and in which states. ``words`` has the enums of the schema, and whether they are
    open.
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
        "fields": {name: _field(contract, name, sources) for name, sources in _sources(form).items()},
        "ignored": dict(form.get("ignored", {})),
        **{name: [_response(contract, one) for one in getattr(reader, name)] for name in _REFUSALS},
        "refresh": reader.refresh,
        "batch": _batch(contract),
        "seed": _seed(contract),
        "submits": _submits(contract),
        **_of_the_schema(contract),
    }


@frozen
class Difference:
    """A statement that differs between two contracts. None means that a contract does not say."""

    term: Term
    left: Any
    right: Any


def profile_statements(profile: Mapping[str, Any], above: Term = ()) -> Iterator[tuple[Term, Any]]:
    """Yield each statement of a profile with its term."""
    for key, value in profile.items():
        term = (*above, key)
        whole = not isinstance(value, dict) or key in {"unset", "accept"} or above == ("extra",)
        if whole:
            yield term, value
        else:
            yield from profile_statements(value, term)


def profile_differences(left: Mapping[str, Any], right: Mapping[str, Any]) -> list[Difference]:
    """
    Return the differences between two profiles, in the order of the profiles.

    For lists of status values and enums, only values that the other one lacks count. Their order does not.
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
    """Return all terms, grouped by their first key."""
    roots = list(dict.fromkeys(term[0] for term in (*left, *right)))
    return sorted(dict.fromkeys((*left, *right)), key=lambda term: roots.index(term[0]))


def _beyond(words: Any, others: Any) -> Any:
    if not isinstance(words, list) or not isinstance(others, list):
        return words
    known = [json.dumps(word, sort_keys=True) for word in others]
    return [word for word in words if json.dumps(word, sort_keys=True) not in known]


def _sources(form: Mapping[str, Any]) -> dict[str, list[Any]]:
    """Return the paths, some with a scope, of each part of a task, by the name of the part."""
    times, buttons = form.get("times", {}), form.get("buttons", {})
    single = {
        **{name: form.get(name) for name in ("id", "kind", "prompt", "status")},
        "progress": form.get("progress", {}).get("path"),
        **{name: times.get(name) for name in ("submitted", "started", "finished")},
    }
    sources = {name: [path] for name, path in single.items() if path is not None}
    sources |= {name: form[name] for name in ("images", "videos", "inputs") if name in form}
    if buttons:
        sources["buttons"] = [buttons["items"]]
    return sources | ({"failure": form["failure"]} if "failure" in form else {})


def _field(contract: Contract, name: str, sources: list[Any]) -> dict[str, Any]:
    times = contract.operation["x-mj-task"].get("times", {})
    zeros = times.get("unset", []) if name in {"submitted", "started", "finished"} else []
    paths = [JSONPath.compile(_text(source)) for source in sources]
    return {"at": sources, "unset": _unset(contract, paths, zeros)}


def _unset(contract: Contract, paths: list[JSONPath], zeros: list[Any]) -> dict[str, list[str]]:
    """Return how the examples write that all of these paths are unset, and in which states."""
    styles: dict[str, list[str]] = {}
    for state in State:
        if state.value not in contract.examples:
            continue
        found = [_nothing(path, contract.examples[state.value], zeros) for path in paths]
        if None not in found:
            style = " and ".join(dict.fromkeys(map(str, found)))
            styles.setdefault(style, []).append(state.value)
    return styles


def _nothing(path: JSONPath, document: Any, zeros: list[Any]) -> str | None:
    """Return how a document writes that a path is unset, or None if it is set."""
    values = path.find(document) or _last(path, document)
    if not all(_is_empty(value, zeros) for value in values):
        return None
    return " and ".join(dict.fromkeys(map(json.dumps, values))) or "absent"


def _last(path: JSONPath, document: Any) -> list[Any]:
    """Return the last value above a missing one, if that is null or empty."""
    searched = path if path.array is None else JSONPath.compile(path.array)
    for step in searched.location or ():
        try:
            document = document[step]
        except (KeyError, IndexError, TypeError):
            break
    return [document] if _is_empty(document) else []


def _is_empty(value: Any, zeros: list[Any] | None = None) -> bool:
    return value in ([], {}) or any(same_value(value, one) for one in (None, "", *(zeros or ())))


def _response(contract: Contract, matcher: Matcher) -> dict[str, Any]:
    """Return the status, the kind of body and the conditions of a response without a task."""
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


def _submits(contract: Contract) -> dict[str, list[str]]:
    """Return the method and path of each operation that submits, by action."""
    actions: dict[str, list[str]] = {}
    for one in contract.submits:
        places = actions.setdefault(one.form.action, [])
        places += {f"{one.method} {one.path}"} - set(places)
    return actions


def _where(operation: Location) -> dict[str, str]:
    return {"method": str(operation[2]).upper(), "path": str(operation[1])}


def _of_the_schema(contract: Contract) -> dict[str, Any]:
    """Return the enums, and the fields that `x-mj-task` does not read."""
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
    """Yield the paths that `x-mj-task` reads."""
    for name, sources in _sources(form).items():
        if name != "buttons":
            yield from map(_text, sources)
    buttons = form.get("buttons", {})
    for name in ("id", "label", "emoji"):
        if name in buttons:
            yield buttons["items"] + ("" if buttons[name] == "$" else _step(buttons[name]))
    yield from form.get("accept", ())
    for entries in form["states"].values():
        for entry in entries:
            for scope in entry.values() if isinstance(entry, dict) else ():
                yield from scope


def schema_fields(contract: Contract) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """
    Yield the path and the schemas of each field in a task's schema that has no fields below it.

    A field that may be text or an object is included for its text.
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


def _text(source: Any) -> str:
    return str(source["path"] if isinstance(source, dict) else source)


def _step(name: str) -> str:
    return f".{name}" if _PLAIN.fullmatch(name) else f"[{json.dumps(name, ensure_ascii=False)}]"


def canonical_path(path: str) -> str:
    """Return a path in the form that `schema_fields` uses."""
    return _INDEX.sub("[*]", _QUOTED.sub(lambda found: f".{found[1] or found[2]}", path))

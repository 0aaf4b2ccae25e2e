"""
Read and apply OpenAPI Overlay documents, versions 1.0 and 1.1.

One rule is stricter than the specification: a target that selects nothing is an error, unless its action has
``x-optional: true``. Otherwise an overlay could silently lose its effect when its contract changes.
"""

from __future__ import annotations

import copy
import json
import re
from typing import TYPE_CHECKING, Any, TypeVar

import jsonpath_rfc9535 as jsonpath
from attrs import field, frozen
from jsonpath_rfc9535.serialize import canonical_string

from mjrelay.base import ContractError, Location, OverlayError, PatternError
from mjrelay.contract.limits import Size
from mjrelay.contract.yaml import load_yaml, plain_yaml, yaml_line
from mjrelay.semantics import compile_query

if TYPE_CHECKING:
    from pathlib import Path


Document = TypeVar("Document")

# The types of the fields of an overlay's objects.
_OVERLAY: dict[str, type] = {"overlay": str, "info": dict, "extends": str, "actions": list}
_INFO: dict[str, type] = {"title": str, "version": str, "description": str}
_ACTION: dict[str, type] = {"target": str, "description": str, "update": object, "copy": str, "remove": bool}
_EXTENSIONS: dict[str, type] = {"x-optional": bool}
_SINCE_1_1 = {"info.description", "actions.copy"}
_KINDS: dict[type, str] = {
    str: "text, in quotes if it looks like something else",
    dict: "an object",
    list: "an array",
    bool: "true or false",
}


@frozen
class Update:
    """Merge ``value`` into each selected object, append it to each array, replace each primitive by it."""

    value: Any


@frozen
class Copy:
    """Update with the one node of the same document that ``source`` selects."""

    source: str
    query: jsonpath.JSONPathQuery = field(eq=False, repr=False)


@frozen
class Remove:
    """Remove each selected node from its object or array."""


@frozen
class Action:
    """One action of an overlay: what it selects, and how it changes that (None: not at all)."""

    target: str
    query: jsonpath.JSONPathQuery = field(eq=False, repr=False)
    does: Update | Copy | Remove | None
    line: int
    description: str | None = None
    optional: bool = False


@frozen
class Overlay:
    """A well-formed overlay document."""

    source: Path
    title: str
    version: str
    """The version of the Overlay Specification."""
    extends: str | None
    """The contract to apply the overlay to, as written. The caller resolves it."""
    actions: tuple[Action, ...]

    @classmethod
    def load(cls, path: Path) -> Overlay:
        """
        Read the overlay in a YAML or JSON file.

        Raises:
            OverlayError: The file is not an Overlay 1.0 or 1.1 document.
            ContractError: The file cannot be read, or is not YAML.
        """
        return cls.read(path, load_yaml(path))

    @classmethod
    def read(cls, path: Path, written: Any) -> Overlay:
        """Read the overlay in a file that `load_yaml` has loaded. Raises `OverlayError` as `load` does."""
        return _Reader(path, written).overlay()

    def apply(self, document: Document) -> Document:
        """
        Return a changed copy of the document.

        No two places of the copy share an object or array, so a change to one never affects another.

        Raises:
            OverlayError: An action does not fit the document.
        """
        box: list[Any] = [plain_yaml(document)]  # so that the root has a container too
        for action in self.actions:
            self._act(action, box)
        changed: Document = box[0]
        return changed

    def _act(self, action: Action, box: list[Any]) -> None:
        targets = self._select(action, action.target, action.query, box[0])
        kinds = sorted({_kind(node) for node in targets.values()})
        if action.does is None or not targets:
            return
        if isinstance(action.does, Remove):
            if () in targets:
                raise self._error(action, "the whole document cannot be removed; select a part of it")
            # In reverse order, so that no removal shifts or removes a later target.
            for location in sorted(targets, reverse=True):
                holder, key = _find(box, location)
                del holder[key]
            return
        if self._is_1_0 and "a primitive" in kinds:
            raise self._error(
                action,
                f"{action.target} selects a primitive, which Overlay 1.0 cannot update; "
                "select the object that contains it, or write overlay: 1.1.0",
            )
        if not self._is_1_0 and len(kinds) > 1:
            raise self._error(
                action,
                f"{action.target} selects nodes of different kinds ({', '.join(kinds)}); "
                "write one action for each kind",
            )
        for value in self._values(action, action.does, box[0]):
            self._check(action, len(targets), Size.of(value))
            for location, node in targets.items():
                appended = isinstance(node, list) and (self._is_1_0 or not isinstance(value, list))
                holder, key = _find(box, location)
                self._merge(action, holder, key, [value] if appended else value, location)
        self._check(action, 1, Size.of(box[0]))

    def _values(self, action: Action, does: Update | Copy, document: Any) -> list[Any]:
        """Return the value to merge, if there is one, as it is before the action."""
        if isinstance(does, Update):
            return [does.value]
        nodes = self._select(action, does.source, does.query, document)
        if len(nodes) > 1:
            raise self._error(action, f"{does.source} selects {len(nodes)} nodes to copy; make it select one")
        return [copy.deepcopy(node) for node in nodes.values()]

    def _select(
        self, action: Action, path: str, query: jsonpath.JSONPathQuery, document: Any
    ) -> dict[Location, Any]:
        try:
            nodes = {node.location: node.value for node in query.find(document)}
        except (jsonpath.JSONPathError, PatternError) as error:
            raise self._error(action, f"{path} cannot be evaluated here: {error}") from error
        if not nodes and not action.optional:
            raise self._error(
                action,
                f"{path} selects nothing; correct it, or write x-optional: true if the contract may lack it",
            )
        return nodes

    def _merge(self, action: Action, holder: Any, key: Any, value: Any, location: Location) -> None:
        old = holder[key]
        if isinstance(old, dict) and isinstance(value, dict):
            for name, item in value.items():
                if name in old:
                    self._merge(action, old, name, item, (*location, name))
                else:
                    old[name] = copy.deepcopy(item)
        elif isinstance(old, list) and isinstance(value, list):
            old.extend(map(copy.deepcopy, value))
        elif isinstance(old, dict | list) or isinstance(value, dict | list):
            place = "$" + "".join(
                f"[{canonical_string(step) if isinstance(step, str) else step}]" for step in location
            )
            raise self._error(
                action,
                f"{place} is {_kind(old)} and cannot be merged with {_kind(value)}; "
                "use a value of the same kind, or remove the old one in an earlier action",
            )
        else:
            holder[key] = value

    def _check(self, action: Action, times: int, size: Size) -> None:
        """Raise `OverlayError` if the changed document would exceed the limits."""
        grown = Size(times * size.nodes, times * size.characters, size.depth)
        if excess := grown.excess():
            raise self._error(action, f"the document {excess}")

    @property
    def _is_1_0(self) -> bool:
        return self.version.startswith("1.0.")

    def _error(self, action: Action, message: str) -> OverlayError:
        return OverlayError(message, source=self.source, line=action.line)


class _Reader:
    """Reads one overlay file into an `Overlay`."""

    def __init__(self, path: Path, written: Any) -> None:
        self.path = path
        self.document = written
        self.version = ""
        self.data = plain_yaml(written)

    def overlay(self) -> Overlay:
        version = self.data.get("overlay") if isinstance(self.data, dict) else None
        if not isinstance(version, str) or not re.fullmatch(r"1\.[01]\.[0-9]+", version):
            raise self.error('is not a supported overlay; begin it with overlay: "1.0.0" or "1.1.0"')
        self.version = version
        root = self.fields(self.data, (), _OVERLAY, ("info", "actions"))
        info = self.fields(root["info"], ("info",), _INFO, ("title", "version"))
        if not root["actions"]:
            raise self.error("actions is empty; write at least one action", "actions")
        actions: dict[str, Action] = {}
        for index, data in enumerate(root["actions"]):
            action = self.action(data, index)
            twin = actions.setdefault(json.dumps(data, sort_keys=True, default=repr), action)
            if twin is not action:
                raise self.error(f"line {twin.line} has the same action; delete one", "actions", index)
        return Overlay(
            source=self.path,
            title=info["title"],
            version=version,
            extends=root.get("extends"),
            actions=tuple(actions.values()),
        )

    def action(self, data: Any, index: int) -> Action:
        here = ("actions", index)
        data = self.fields(data, here, _ACTION | _EXTENSIONS, ("target",))
        does: Update | Copy | Remove | None = None
        if data.get("remove"):  # wins over the others
            does = Remove()
        elif {"update", "copy"} <= data.keys():
            raise self.error("an action does one thing, not update and copy; split it", *here)
        elif "update" in data:
            does = Update(data["update"])
        elif "copy" in data:
            does = Copy(data["copy"], self.query(data["copy"], *here, "copy"))
        return Action(
            target=data["target"],
            query=self.query(data["target"], *here, "target"),
            does=does,
            line=yaml_line(self.document, here),
            description=data.get("description"),
            optional=data.get("x-optional", False),
        )

    def fields(
        self, data: Any, here: Location, known: dict[str, type], required: tuple[str, ...]
    ) -> dict[str, Any]:
        what = str(here[0]) if here else "overlay"
        if not isinstance(data, dict):
            raise self.error(
                f"each of {what} must be an object" if here[1:] else f"{what} must be an object", *here
            )
        for name, value in data.items():
            if name not in known and not name.startswith("x-"):
                raise self.error(
                    f"{name} is not a known field; correct it, or prefix it with x-", *here, name
                )
            if f"{what}.{name}" in _SINCE_1_1 and self.version.startswith("1.0."):
                raise self.error(f"{name} needs Overlay 1.1; write overlay: 1.1.0", *here, name)
            kind = known.get(name, object)
            if not isinstance(value, kind):
                raise self.error(f"{name} must be {_KINDS[kind]}", *here, name)
        for name in required:
            if name not in data:
                raise self.error(f"{name} is missing from {'an action' if here[1:] else what}", *here)
        return data

    def query(self, text: str, *here: str | int) -> jsonpath.JSONPathQuery:
        try:
            return compile_query(text)
        except ContractError as error:
            raise self.error(str(error), *here) from error

    def error(self, message: str, *here: str | int) -> OverlayError:
        return OverlayError(message, source=self.path, line=yaml_line(self.document, here))


def _find(box: list[Any], location: Location) -> tuple[Any, Any]:
    """Return the object or array that contains a node, and the key of the node in it."""
    holder: Any = box
    key: Any = 0
    for step in location:
        holder, key = holder[key], step
    return holder, key


def _kind(node: Any) -> str:
    return "an object" if isinstance(node, dict) else "an array" if isinstance(node, list) else "a primitive"

"""A relay's contract: its OpenAPI document, and what can be read from it."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attrs import define, field, frozen

from mjrelay.base import ContractError, cached_property, json_pointer
from mjrelay.contract.limits import REFERENCES
from mjrelay.contract.references import METHODS, reference_target
from mjrelay.contract.requests import build_batch_request, build_request
from mjrelay.contract.yaml import load_yaml, yaml_line
from mjrelay.http import Credential
from mjrelay.semantics import FormError, compile_reader

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from mjrelay.base import Location
    from mjrelay.http import Request
    from mjrelay.semantics import Reader


ORIGINS = "x-origins"
"""Where a packaged contract that overlays made says which files it is written in."""


@frozen
class Clause:
    """A place in a contract that a sentence about the relay rests on."""

    file: str
    line: int
    pointer: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}#{self.pointer}"


@frozen
class Origin:
    """A file, and the place in it that says something; what is below it there is below it here."""

    file: Path
    location: Location


@define(frozen=True, slots=False, eq=False)
class Contract:
    """
    One relay's contract, by the relay's name.

    ``document`` is the OpenAPI document with its overlays applied, ``source`` the file that was there before
    them, and ``origins`` are where the parts are written that they have changed. ``outside`` are the files,
    with their lines, that are not packaged, in the order applied; the last of them, ``added``, were given as
    overlays, and the one before those is what the contract was named by.
    """

    name: str
    document: dict[str, Any] = field(repr=False)
    source: Path = field(repr=False)
    origins: Mapping[Location, Origin] = field(factory=dict, repr=False)
    outside: Mapping[Path, Any] = field(factory=dict, repr=False)
    added: tuple[Path, ...] = field(default=(), repr=False)

    @cached_property
    def location(self) -> Location:
        """Where the fetch operation stands: the one with `x-mj-task`."""
        for location, operation in self._operations():
            if "x-mj-task" in operation:
                return location
        raise ContractError(
            "no operation has x-mj-task; put it on the one that fetches a task", source=self.source
        )

    @property
    def operation(self) -> dict[str, Any]:
        """The fetch operation's Operation Object."""
        _, path, method = self.location
        operation: dict[str, Any] = self.document["paths"][path][method]
        return operation

    @property
    def method(self) -> str:
        """The fetch operation's method, in capitals."""
        return str(self.location[2]).upper()

    @property
    def path(self) -> str:
        """The fetch operation's path, as a template."""
        return str(self.location[1])

    @cached_property
    def reader(self) -> Reader:
        """What the relay's documents mean."""
        try:
            return compile_reader(self.operation["x-mj-task"])
        except ContractError as error:
            key = (error.key,) if isinstance(error, FormError) else ()
            clause = self.clause(*self.location, "x-mj-task", *key)
            raise ContractError(str(error), source=clause.file, line=clause.line) from error

    @property
    def base_url(self) -> str | None:
        """Scheme and host where the relay's page gives them."""
        servers = self.document.get("servers") or [{}]
        url = servers[0].get("url")
        return None if url is None else str(url)

    @property
    def file(self) -> Path | None:
        """The file that it is named by; None where that is a packaged relay's name."""
        own = [path for path in self.outside if path not in self.added]
        return own[-1] if own else None

    @property
    def foreign(self) -> bool:
        """Whether the host that it names is named by a file that is not packaged."""
        return self._written("servers", 0, "url").file in self.outside

    @cached_property
    def credentials(self) -> tuple[Credential, ...]:
        """The ways of authenticating at the fetch operation: alternatives, the relay's own choice first."""
        schemes = self.document.get("components", {}).get("securitySchemes", {})
        if any(len(requirement) > 1 for requirement in self.security):
            raise ContractError(
                "security: two schemes at once are not served; write each as an alternative of its own",
                source=self.source,
            )
        names = dict.fromkeys(name for requirement in self.security for name in requirement)
        return tuple(Credential.compile(name, self.resolve(schemes.get(name, {}))) for name in names)

    @property
    def open(self) -> bool:
        """Whether the relay may answer without any credential."""
        return not self.security or not all(self.security)

    @property
    def security(self) -> list[dict[str, Any]]:
        """The Security Requirement Objects of the fetch operation."""
        return list(self.operation.get("security", self.document.get("security", [])))

    def request(self, task_id: str, path: str | None = None) -> Request:
        """The request that asks for a task, without a credential; ``path`` stands for the contract's own."""
        return build_request(self.method, path or self.path, self.reader.ask, task_id)

    @cached_property
    def batch(self) -> Location | None:
        """Where the operation stands that asks for several tasks at once, if there is one."""
        return None if self.reader.batch is None else self._called(self.reader.batch.operation)

    @cached_property
    def seed(self) -> Location | None:
        """Where the operation stands that asks for the seed of a task's image, if there is one."""
        return None if self.reader.seed is None else self._called(self.reader.seed.operation)

    @property
    def batch_path(self) -> str | None:
        """The path of the operation for several tasks."""
        return None if self.batch is None else str(self.batch[1])

    @property
    def seed_path(self) -> str | None:
        """The path of the operation for a seed, as a template."""
        return None if self.seed is None else str(self.seed[1])

    def batch_request(self, ids: Sequence[str], path: str | None = None) -> Request:
        """
        The request that asks for several tasks at once, without a credential; ``path`` is as in `request`.

        Raises `ContractError` where the relay has no such operation.
        """
        if self.reader.batch is None or self.batch is None:
            raise ContractError("has no batch in x-mj-task; ask for one task at a time", source=self.source)
        _, own, method = self.batch
        return build_batch_request(str(method).upper(), path or str(own), self.reader.batch.ids, ids)

    def seed_request(self, task_id: str, path: str | None = None) -> Request:
        """
        The request that asks for the seed of a task's image; its id goes where `ask` says, here too.

        Raises `ContractError` where the relay has no such operation.
        """
        if self.seed is None:
            raise ContractError("has no seed in x-mj-task; the relay does not tell seeds", source=self.source)
        _, own, method = self.seed
        return build_request(str(method).upper(), path or str(own), self.reader.ask, task_id)

    def response(
        self, status: int, operation: Location | None = None
    ) -> tuple[Location, dict[str, Any]] | None:
        """
        The Response Object for a status and where it stands: the exact code, its range, or the default.

        It is the fetch operation's unless another one's location is given.
        """
        _, path, method = location = operation or self.location
        responses = self.document["paths"][path][method].get("responses", {})
        for key in (str(status), f"{status // 100}XX", "default"):
            if key in responses:
                return (*location, "responses", key), self.resolve(responses[key])
        return None

    def content(self, status: int, operation: Location | None = None) -> dict[str, Any]:
        """The Media Type Objects of a status by media type; empty where the contract gives it no body."""
        found = self.response(status, operation)
        content: dict[str, Any] = {} if found is None else found[1].get("content", {})
        return content

    @cached_property
    def examples(self) -> dict[str, Any]:
        """The contract's example documents of a 200 by name; a state's name means that state."""
        return {
            name: example["value"]
            for media in self.content(200).values()
            for name, reference in media.get("examples", {}).items()
            if "value" in (example := self.resolve(reference))
        }

    def _called(self, name: str) -> Location:
        for location, operation in self._operations():
            if operation.get("operationId") == name:
                return location
        raise ContractError(
            f"no operation is called {name}; correct the operationId in x-mj-task", source=self.source
        )

    def _operations(self) -> Iterator[tuple[Location, dict[str, Any]]]:
        for path, item in self.document["paths"].items():
            for method in METHODS:
                operation = item.get(method) if isinstance(item, dict) else None
                if isinstance(operation, dict):
                    yield ("paths", path, method), operation

    def resolve(self, node: Any) -> Any:
        """
        Return a node, or the target of its local ``$ref``.

        Raises:
            ContractError: The reference leads nowhere, or in a circle.
        """
        return self.follow(node)[1]

    def follow(self, node: Any, location: Location = ()) -> tuple[Location, Any]:
        """
        Return a node with its location, or the target of its local ``$ref`` with the target's location.

        Raises:
            ContractError: The reference leads nowhere, or in a circle.
        """
        seen: list[str] = []
        while isinstance(node, dict) and "$ref" in node:
            reference = str(node["$ref"])
            if reference in seen:
                raise ContractError(f"{reference} refers to itself", source=self.source)
            if len(seen) == REFERENCES:
                raise ContractError(
                    f"{seen[0]} leads through more than {REFERENCES} references, which is the limit; "
                    "refer to the final target",
                    source=self.source,
                )
            seen.append(reference)
            try:
                location, node = reference_target(self.document, reference)
            except LookupError as error:
                raise ContractError(
                    f"{reference} refers to nothing in this document; correct it", source=self.source
                ) from error
        return location, node

    def clause(self, *location: str | int) -> Clause:
        """The clause at a location: file, line of it or of its nearest ancestor there, and JSON Pointer."""
        origin = self._written(*location)
        if origin.file not in self.outside:
            return _clause(origin.file, origin.location)
        line = yaml_line(self.outside[origin.file], origin.location)
        return Clause(str(origin.file), line, json_pointer(origin.location))

    def _written(self, *location: str | int) -> Origin:
        for depth in range(len(location), 0, -1) if self.origins else ():
            if origin := self.origins.get(location[:depth]):
                return Origin(origin.file, (*origin.location, *location[depth:]))
        return Origin(self.source, location)


def data_folder(folder: str) -> Path:
    """A folder of data that ships with the package: ``openapi`` or ``overlays``."""
    package = Path(__file__).parents[1]
    packaged = package / folder
    return packaged if packaged.is_dir() else package.parents[1] / folder


@cache
def _clause(source: Path, location: Location) -> Clause:
    return Clause(_shown(source), yaml_line(_lines(source), location), json_pointer(location))


def _shown(source: Path) -> str:
    root = data_folder("openapi").parent
    return source.relative_to(root).as_posix() if source.is_relative_to(root) else str(source)


@cache
def _lines(source: Path) -> Any:
    return load_yaml(source) if source.is_file() else {}

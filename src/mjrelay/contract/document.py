"""A relay's contract: its OpenAPI document, and the requests, responses and clauses that it defines."""

from __future__ import annotations

from functools import cache
from itertools import islice, takewhile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attrs import define, field, frozen

from mjrelay.base import ContractError, SettingError, cached_property, json_pointer, read_file
from mjrelay.contract.limits import LARGEST
from mjrelay.contract.references import METHODS, Resolver
from mjrelay.contract.requests import build_request
from mjrelay.contract.values import body_schemas, typed_value, value_problems
from mjrelay.contract.yaml import load_yaml, yaml_line
from mjrelay.http import Credential
from mjrelay.semantics import FormError, compile_reader, compile_submits, parse_expression

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from mjrelay.base import Location
    from mjrelay.http import Request
    from mjrelay.semantics import Reader, SubmitForm


ORIGINS = "x-origins"
"""The key of a packaged contract that lists the source files of its parts."""


_QUOTED_LINES, _QUOTED_CHARACTERS = 4, 300
"""The longest quotation of a clause."""


@frozen
class Clause:
    """A place in a contract that a check or an error cites; ``source`` is its file."""

    file: str
    line: int
    pointer: str
    source: Path = field(default=Path(), repr=False, eq=False)

    def __str__(self) -> str:
        return f"{self.file}:{self.line}#{self.pointer}"

    @property
    def quote(self) -> str:
        """The line of the file, and the first lines below it if it only names a mapping or a list."""
        try:
            lines = read_file(self.source, LARGEST).decode("utf-8").split("\n")[self.line - 1 :]
        except (OSError, ValueError):  # the file has changed since it was loaded
            return ""
        first = lines[0] if lines else ""
        indent = len(first) - len(first.lstrip())
        below = takewhile(lambda line: len(line) - len(line.lstrip()) > indent, lines[1:])
        more = islice(below, _QUOTED_LINES - 1) if first.rstrip().endswith(":") else ()
        return "\n".join(line[indent:].rstrip() for line in (first, *more))[:_QUOTED_CHARACTERS]


@frozen
class Origin:
    """The file and the location in it where a part of a contract is written, with all that is below."""

    file: Path
    location: Location


@frozen
class SubmitOperation:
    """One way to submit one action: an operation of the contract, and a form of its `x-mj-submit`."""

    location: Location
    form: SubmitForm

    @property
    def method(self) -> str:
        """The method, in upper case."""
        return str(self.location[2]).upper()

    @property
    def path(self) -> str:
        """The path template."""
        return str(self.location[1])


@define(frozen=True, slots=False, eq=False)
class Contract(Resolver):
    """
    One relay's contract.

    Attributes:
        name: The relay's name.
        document: The OpenAPI document with all overlays applied.
        source: The file of the document before any overlay.
        origins: The locations that overlays changed, and where each is written.
        outside: The files that are not packaged, loaded with line numbers, in the order applied.
        added: Those of these files that were passed as overlays. They come last.
    """

    name: str
    document: dict[str, Any] = field(repr=False)
    source: Path = field(repr=False)
    origins: Mapping[Location, Origin] = field(factory=dict, repr=False)
    outside: Mapping[Path, Any] = field(factory=dict, repr=False)
    added: tuple[Path, ...] = field(default=(), repr=False)

    @cached_property
    def location(self) -> Location:
        """The location of the fetch operation, which is the one with `x-mj-task`."""
        for location, operation in self.operations():
            if "x-mj-task" in operation:
                return location
        raise ContractError(
            "no operation has x-mj-task; write it on the one that fetches a task", source=self.source
        )

    @property
    def operation(self) -> dict[str, Any]:
        """The Operation Object of the fetch operation."""
        _, path, method = self.location
        operation: dict[str, Any] = self.document["paths"][path][method]
        return operation

    def parameters(self, operation: Location | None = None) -> list[dict[str, Any]]:
        """Return the parameters of an operation and its path item; without one, of the fetch operation."""
        _, path, method = operation or self.location
        item = self.document["paths"][path]
        return [
            self.resolve(one) for one in (*item.get("parameters", ()), *item[method].get("parameters", ()))
        ]

    @property
    def method(self) -> str:
        """The method of the fetch operation, in upper case."""
        return str(self.location[2]).upper()

    @property
    def path(self) -> str:
        """The path template of the fetch operation."""
        return str(self.location[1])

    @cached_property
    def reader(self) -> Reader:
        """The reader of the relay's documents, compiled from `x-mj-task`."""
        try:
            return compile_reader(self.operation["x-mj-task"])
        except ContractError as error:
            place = error.location if isinstance(error, FormError) else ()
            clause = self.clause(*self.location, "x-mj-task", *place)
            raise ContractError(str(error), source=clause.file, line=clause.line) from error

    @cached_property
    def submits(self) -> tuple[SubmitOperation, ...]:
        """The forms of `x-mj-submit`, each with its operation; empty if there is none."""
        submits: list[SubmitOperation] = []
        for location, operation in self.operations():
            if "x-mj-submit" not in operation:
                continue
            try:
                forms = compile_submits(self.submit_forms(operation["x-mj-submit"]), self.reader)
            except ContractError as error:
                place = error.location if isinstance(error, FormError) else ()
                clause = self.clause(*location, "x-mj-submit", *place)
                raise ContractError(str(error), source=clause.file, line=clause.line) from error
            submits += [SubmitOperation(location, form) for form in forms]
        return tuple(submits)

    def submit_forms(self, form: Any) -> Any:
        """Return the value of an `x-mj-submit` with the references of its answers resolved."""
        if isinstance(form, list):
            return [self.submit_forms(one) for one in form]
        if isinstance(form, dict) and "answer" in form:
            return {**form, "answer": self.resolve(form["answer"])}
        return form

    @property
    def base_url(self) -> str | None:
        """The URL of the first server, or None if the contract has none or names only a path."""
        servers = self.document.get("servers") or [{}]
        url = servers[0].get("url")
        return None if url is None or str(url).startswith("/") else str(url)

    @property
    def file(self) -> Path | None:
        """The file that the contract was loaded from, or None for a packaged relay."""
        own = [path for path in self.outside if path not in self.added]
        return own[-1] if own else None

    @property
    def foreign(self) -> bool:
        """Whether the server's URL is written in a file that is not packaged."""
        return self._written("servers", 0, "url").file in self.outside

    @cached_property
    def credentials(self) -> tuple[Credential, ...]:
        """The alternative credentials of the fetch operation, the preferred one first."""
        schemes = self.document.get("components", {}).get("securitySchemes", {})
        if any(len(requirement) > 1 for requirement in self.security):
            raise ContractError(
                "security: two credentials in one request are not supported; write each as an alternative",
                source=self.source,
            )
        names = dict.fromkeys(name for requirement in self.security for name in requirement)
        return tuple(Credential.compile(name, self.resolve(schemes.get(name, {}))) for name in names)

    @property
    def open(self) -> bool:
        """Whether a credential is optional."""
        return not self.security or not all(self.security)

    @property
    def security(self) -> list[dict[str, Any]]:
        """The Security Requirement Objects of the fetch operation."""
        return list(self.operation.get("security", self.document.get("security", [])))

    def request(self, task_id: str, path: str | None = None) -> Request:
        """Build the fetch request for a task, without a credential. ``path`` replaces the contract's path."""
        place = {self.reader.ask: task_id}
        return self._build(self.location, place, self.reader.constants, path)

    @cached_property
    def batch(self) -> Location | None:
        """The location of the batch operation, which fetches several tasks, or None."""
        return None if self.reader.batch is None else self._called(self.reader.batch.operation)

    @cached_property
    def seed(self) -> Location | None:
        """The location of the seed operation, which fetches the seed of a task's image, or None."""
        return None if self.reader.seed is None else self._called(self.reader.seed.operation)

    @cached_property
    def lookup(self) -> Location | None:
        """The location of the operation that lists tasks after a submit without a response, or None."""
        return None if self.reader.lookup is None else self._called(self.reader.lookup.operation)

    @property
    def batch_path(self) -> str | None:
        """The path of the batch operation, or None."""
        return None if self.batch is None else str(self.batch[1])

    @property
    def seed_path(self) -> str | None:
        """The path template of the seed operation, or None."""
        return None if self.seed is None else str(self.seed[1])

    def batch_request(self, ids: Sequence[str], path: str | None = None) -> Request:
        """
        Build the batch request for several tasks, without a credential.

        Args:
            ids: The ids of the tasks.
            path: Replaces the contract's path.

        Raises:
            ContractError: The contract has no batch operation.
        """
        if self.reader.batch is None or self.batch is None:
            raise ContractError("x-mj-task has no batch; fetch one task at a time", source=self.source)
        batch = self.reader.batch
        return self._build(self.batch, {batch.ids: list(ids)}, batch.constants, path)

    def seed_request(self, task_id: str, path: str | None = None) -> Request:
        """
        Build the seed request for a task, without a credential. The id goes where `ask` says.

        Args:
            task_id: The id of the task.
            path: Replaces the contract's path.

        Raises:
            ContractError: The contract has no seed operation.
        """
        if self.reader.seed is None or self.seed is None:
            raise ContractError("x-mj-task has no seed; this relay does not return seeds", source=self.source)
        return self._build(self.seed, {self.reader.ask: task_id}, self.reader.seed.constants, path)

    def _build(
        self, operation: Location, asked: Mapping[str, Any], constants: Mapping[str, Any], path: str | None
    ) -> Request:
        """Build a request of an operation: what it asks for, typed as its body declares, and constants."""
        _, own, method = operation
        ((expression, value),) = asked.items()
        if not all(isinstance(one, str) for one in (value if isinstance(value, list) else [value])):
            raise SettingError("an id is not text; pass it as the relay returned it")
        place, pointer = parse_expression(expression)
        if place == "body":
            value = self._typed(operation, pointer, value)
        return build_request(str(method).upper(), path or str(own), {expression: value, **constants})

    def _typed(self, operation: Location, pointer: str, value: Any) -> Any:
        """Return an id, or a list of ids, in the type that the operation's body declares at a pointer."""
        schemas = body_schemas(self, operation, pointer)
        if schemas is None:
            return value
        schema = {"anyOf": schemas}
        try:
            ids = value if isinstance(value, list) else [value]
            typed = typed_value(self, schema, ids)
        except ValueError as error:
            raise ContractError(f"{pointer} {error}; correct x-mj-task, or the schema") from error
        for problem in value_problems(self, schema, typed, pointer):
            raise SettingError(f"the request takes no such id: {problem}; pass it as the relay returned it")
        return typed

    def response(
        self, status: int, operation: Location | None = None
    ) -> tuple[Location, dict[str, Any]] | None:
        """
        Return the location and the Response Object for a status code, or None.

        The exact code comes first, then its range (4XX), then ``default``.

        Args:
            status: The status code.
            operation: The location of the operation. The default is the fetch operation.
        """
        _, path, method = location = operation or self.location
        responses = self.document["paths"][path][method].get("responses", {})
        for key in (str(status), f"{status // 100}XX", "default"):
            if key in responses:
                return (*location, "responses", key), self.resolve(responses[key])
        return None

    def content(self, status: int, operation: Location | None = None) -> dict[str, Any]:
        """Return the Media Type Objects for a status code by media type; empty if it has no body."""
        found = self.response(status, operation)
        content: dict[str, Any] = {} if found is None else found[1].get("content", {})
        return content

    def documents_page(self, status: int) -> bool:
        """Return whether a web page with a status code is documented, other than for an unknown path."""
        elsewhere = {one.status for one in self.reader.elsewhere if one.content is not None}
        return status not in elsewhere and any("html" in kind.lower() for kind in self.content(status))

    @cached_property
    def examples(self) -> dict[str, Any]:
        """The example documents of a 200 by name. An example with a state's name shows that state."""
        return {
            name: example["value"]
            for media in self.content(200).values()
            for name, reference in media.get("examples", {}).items()
            if "value" in (example := self.resolve(reference))
        }

    def _called(self, name: str) -> Location:
        for location, operation in self.operations():
            if operation.get("operationId") == name:
                return location
        raise ContractError(
            f"no operation has the operationId {name}; correct it in x-mj-task", source=self.source
        )

    def operations(self) -> Iterator[tuple[Location, dict[str, Any]]]:
        """Yield the location and the Operation Object of each operation."""
        for path, item in self.document["paths"].items():
            for method in METHODS:
                operation = item.get(method) if isinstance(item, dict) else None
                if isinstance(operation, dict):
                    yield ("paths", path, method), operation

    def clause(self, *location: str | int) -> Clause:
        """Return the clause at a location, with the line of its nearest ancestor in the file."""
        origin = self._written(*location)
        if origin.file not in self.outside:
            return _clause(origin.file, origin.location)
        line = yaml_line(self.outside[origin.file], origin.location)
        return Clause(str(origin.file), line, json_pointer(origin.location), origin.file)

    def _written(self, *location: str | int) -> Origin:
        for depth in range(len(location), 0, -1) if self.origins else ():
            if origin := self.origins.get(location[:depth]):
                return Origin(origin.file, (*origin.location, *location[depth:]))
        return Origin(self.source, location)


def data_folder(folder: str) -> Path:
    """Return a data folder of the package: ``openapi`` or ``overlays``."""
    package = Path(__file__).parents[1]
    packaged = package / folder
    return packaged if packaged.is_dir() else package.parents[1] / folder


@cache
def _clause(source: Path, location: Location) -> Clause:
    return Clause(_shown(source), yaml_line(_lines(source), location), json_pointer(location), source)


def _shown(source: Path) -> str:
    root = data_folder("openapi").parent
    return source.relative_to(root).as_posix() if source.is_relative_to(root) else str(source)


@cache
def _lines(source: Path) -> Any:
    return load_yaml(source) if source.is_file() else {}

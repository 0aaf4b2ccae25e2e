"""
Generate the typed clients from contracts and overlays.

The complete tree is written into a temporary directory and then compared with the existing one. A failure
leaves the existing tree unchanged, and drift is the same comparison without writing.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from contextlib import redirect_stdout
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from attrs import asdict
from openapi_python_client import Project
from openapi_python_client.config import Config, ConfigFile, MetaType
from openapi_python_client.parser import GeneratorData
from openapi_python_client.parser.errors import GeneratorError, ParseError

from mjrelay.base import ContractError
from mjrelay.contract import Overlay
from mjrelay.http import printable_text
from mjrelay_codegen.naming import check_names, class_overrides, rename
from mjrelay_codegen.normalizing import normalize
from mjrelay_codegen.output import Difference, GenerationError, Replacement, compare, files_of, replace
from mjrelay_codegen.source import RelaySource, TemplateContext

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from typing import Any


PACKAGE = "mjrelay_clients"
COMMAND = "nox -s generate"
LOCK = "LOCK.json"
_HERE = Path(__file__).parent
_LABEL = "codegen/mjrelay_codegen"
_STYLE = ("--isolated", "--no-cache", "--quiet", "--target-version", "py311", "--line-length", "110")


def find_root(start: Path) -> Path:
    """Return the nearest parent directory with contracts and a pyproject.toml."""
    for folder in (start, *start.parents):
        if (folder / "openapi").is_dir() and (folder / "pyproject.toml").is_file():
            return folder
    raise GenerationError(
        f"{start} is not in a directory with openapi/ and pyproject.toml; change into one, or use --root"
    )


def generate(root: Path) -> Replacement:
    """Write the clients of all relays of a repository into its ``generated/``."""
    with tempfile.TemporaryDirectory(prefix="mjrelay-") as folder:
        wanted = Path(folder)
        _write_repository(root, wanted)
        return replace(wanted, root / "generated", f"{PACKAGE}/{LOCK}")


def drift(root: Path) -> list[Difference]:
    """Return the files that `generate` would change, without writing."""
    with tempfile.TemporaryDirectory(prefix="mjrelay-") as folder:
        _write_repository(root, Path(folder))
        return compare(Path(folder), root / "generated")


def write_client(package: Path, relay: RelaySource, overlays: Iterable[Path], command: str) -> None:
    """
    Write the client of one relay, runtime included, into a new directory.

    The parent of the package must be empty. See `write_clients` for the arguments and the errors.
    """
    _write_client(package, relay, [Overlay.load(path) for path in overlays])
    for module in package.rglob("*.py"):
        text = module.read_text(encoding="utf-8")
        # The runtime is inside this package; in the repository it is beside the packages.
        module.write_text(
            re.sub(r"^from \.(\.+)runtime\b", r"from \1runtime", text, flags=re.MULTILINE), "utf-8"
        )
    shutil.copytree(_HERE / "runtime", package / "runtime", ignore=shutil.ignore_patterns("__pycache__"))
    for module in package.rglob("*.py"):
        _put_header(module, relay.label, command)
    _ruff(package.parent, "check", "--fix-only", "--select", "I,F401")
    _ruff(package.parent, "format")
    lock(package, LOCK, {})


def write_clients(tree: Path, relays: Sequence[RelaySource], overlays: Iterable[Path], command: str) -> None:
    """
    Write the package with the clients of all relays into an empty directory.

    Args:
        tree: The empty directory.
        relays: The relays.
        overlays: Overlays that adapt a contract to the generator, applied in this order.
        command: The command in the headers of the generated modules.

    Raises:
        GenerationError: The generator rejects a contract.
        ContractError: A contract or an overlay is invalid.
    """
    package = tree / PACKAGE
    package.mkdir(parents=True)
    adjustments = [Overlay.load(path) for path in overlays]
    for relay in relays:
        _write_client(package / relay.name, relay, adjustments)
    shutil.copytree(_HERE / "runtime", package / "runtime", ignore=shutil.ignore_patterns("__pycache__"))
    names = "".join(f'"{relay.name}",' for relay in relays)
    (package / "__init__.py").write_text(
        '"""Typed clients, one package per relay; `runtime` is the code that they share."""\n\n'
        f'RELAYS = ({names})\n"""The names of the relays and of their packages."""\n',
        encoding="utf-8",
    )
    (package / "py.typed").touch()
    origins = {relay.name: relay.label for relay in relays} | {"runtime": f"{_LABEL}/runtime/"}
    for module in package.rglob("*.py"):
        origin = origins.get(module.relative_to(package).parts[0], "openapi/ and overlays/relays/")
        _put_header(module, origin, command)
    _ruff(tree, "check", "--fix-only", "--select", "I,F401")
    _ruff(tree, "format")


def _write_repository(root: Path, tree: Path) -> None:
    found = [
        RelaySource.load(path, f"{folder}/{path.name}", root / "openapi")
        for folder in ("openapi", "overlays/relays")
        for path in sorted((root / folder).glob("*.yaml"))
    ]
    relays = {relay.name: relay for relay in found}
    if not found:
        raise GenerationError(f"{root / 'openapi'} has no contract; write one as openapi/<relay>.yaml")
    if len(relays) < len(found):
        twice = sorted(relay.label for relay in found if relays[relay.name] is not relay)
        raise GenerationError(f"{', '.join(twice)}: another file has the same relay name; rename one")
    overlays = sorted((root / "overlays" / "client").glob("*.yaml"))
    write_clients(tree, [relays[name] for name in sorted(relays)], overlays, COMMAND)
    written = {file for relay in found for file in relay.files}.union(overlays)
    inputs = {Path(os.path.relpath(path, root)).as_posix(): path for path in written}
    own = [_HERE / "config.yaml", *(_HERE / "templates").iterdir(), *(_HERE / "runtime").glob("*.py")]
    inputs |= {f"{_LABEL}/{path.relative_to(_HERE).as_posix()}": path for path in own if path.is_file()}
    lock(tree, f"{PACKAGE}/{LOCK}", inputs)


def _write_client(package: Path, relay: RelaySource, adjustments: list[Overlay]) -> None:
    document = relay.contract.document
    try:
        shipped = document | relay.origins()
        contract = json.dumps(shipped, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    except (TypeError, ValueError) as error:
        raise ContractError(
            f"the contract is not JSON: {error}; put dates in quotes, and delete .nan and .inf",
            source=relay.files[0],
        ) from error
    document = adjusted = normalize(document).document
    for overlay in adjustments:
        adjusted = overlay.apply(adjusted)
    context = TemplateContext.of(document, relay.files[0])
    config = _config(package, document)
    check_names(relay.contract, config)
    try:
        rejections = _build(config, adjusted, context)
    except Exception as error:  # the generator's errors have no base class
        raise _rejected(f"{relay.label}: openapi-python-client", repr(error)) from error
    if rejections:
        # Warnings included: each is a part of the contract that the client would lack.
        raise _rejected(f"{relay.label}: openapi-python-client", "\n".join(map(_describe, rejections)))
    (package / "contract.json").write_text(contract, encoding="utf-8")
    (package / "py.typed").touch()


def _config(package: Path, document: dict[str, Any]) -> Config:
    settings = ConfigFile.load_from_path(_HERE / "config.yaml")
    settings.class_overrides = class_overrides(document)
    return Config.from_sources(
        settings,
        MetaType.NONE,
        package,  # unused: the document is passed below
        "utf-8",
        overwrite=False,
        output_path=package,
    )


def _build(config: Config, document: Any, context: TemplateContext) -> Sequence[GeneratorError]:
    """Write a package with openapi-python-client, and return its errors and warnings."""
    with redirect_stdout(io.StringIO()):
        data = GeneratorData.from_dict(document, config=config)
        if isinstance(data, GeneratorError):
            return [data]
        rename(data, config)
        project = Project(openapi=data, config=config, custom_template_path=_HERE / "templates")
        project.env.globals.update(asdict(context, recurse=False))
        return project.build()


def _put_header(module: Path, origin: str, command: str) -> None:
    text = module.read_text(encoding="utf-8")
    header = f"# Generated by `{command}` from {origin}. Do not edit: change that, and generate again."
    # A file name is untrusted and could contain a line break, which ends the comment.
    module.write_text(f"{printable_text(header)}\n\n{text}", encoding="utf-8")


def _ruff(tree: Path, command: str, *arguments: str) -> None:
    done = subprocess.run(  # noqa: S603 - our own interpreter, our own arguments
        [sys.executable, "-m", "ruff", command, *_STYLE, *arguments, "."],
        cwd=tree,
        capture_output=True,
        text=True,
        encoding="utf-8",
        errors="replace",
        check=False,
    )
    if done.returncode:
        raise _rejected("ruff", done.stderr.strip() or done.stdout.strip())


def _describe(rejection: GeneratorError) -> str:
    data = rejection.data if isinstance(rejection, ParseError) else None
    place = None if data is None else data.model_dump_json(exclude_unset=True, by_alias=True)
    text = "\n".join(part for part in (rejection.header, rejection.detail, place) if part)
    return re.sub(r"<[\w.]+ object at 0x[0-9a-f]+>", "(a name)", text)  # openapi-python-client hides names


def _rejected(tool: str, reason: str) -> GenerationError:
    return GenerationError(
        f"{tool} rejects the input:\n{reason}\nFix it and generate again; nothing was written."
    )


TOOLS = ("openapi-python-client", "ruff")
"""The distributions whose versions determine the generated bytes."""


def lock(tree: Path, file: str, inputs: Mapping[str, Path]) -> None:
    """Write the lock of a complete tree: tool versions, SHA-256 of the inputs, and the files of the tree."""
    tools = {tool: version(tool) for tool in TOOLS}
    hashes = {name: hashlib.sha256(inputs[name].read_bytes()).hexdigest() for name in sorted(inputs)}
    files = sorted(files_of(tree))
    text = json.dumps({"tools": tools, "inputs": hashes, "files": files}, indent=2, ensure_ascii=False)
    (tree / file).write_text(text + "\n", encoding="utf-8")

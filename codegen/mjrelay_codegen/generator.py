"""
From contracts and overlays to the typed clients.

The tree is written whole into a directory of its own and then compared with the one that is there. So a
failure leaves the old tree as it was, and drift is the same comparison without the mending.
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
from mjrelay_codegen.output import Difference, GenerationError, Replacement, compare, files_of, replace
from mjrelay_codegen.source import Overlooked, RelaySource

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from typing import Any


PACKAGE = "mjrelay_clients"
COMMAND = "nox -s generate"
LOCK = "LOCK.json"
_HERE = Path(__file__).parent
_SHOWN = "codegen/mjrelay_codegen"
_STYLE = ("--isolated", "--no-cache", "--quiet", "--target-version", "py311", "--line-length", "110")


def find_root(start: Path) -> Path:
    """The nearest directory, from here upwards, with contracts and a pyproject.toml."""
    for folder in (start, *start.parents):
        if (folder / "openapi").is_dir() and (folder / "pyproject.toml").is_file():
            return folder
    raise GenerationError(
        f"{start} lies in no directory with openapi/ and pyproject.toml; go into one, or say --root"
    )


def generate(root: Path) -> Replacement:
    """Write the clients of a repository's relays into its ``generated/``."""
    with tempfile.TemporaryDirectory(prefix="mjrelay-") as folder:
        wanted = Path(folder)
        _write_repository(root, wanted)
        return replace(wanted, root / "generated", f"{PACKAGE}/{LOCK}")


def drift(root: Path) -> list[Difference]:
    """What `generate` would change; nothing is written."""
    with tempfile.TemporaryDirectory(prefix="mjrelay-") as folder:
        _write_repository(root, Path(folder))
        return compare(Path(folder), root / "generated")


def write_client(package: Path, relay: RelaySource, overlays: Iterable[Path], command: str) -> None:
    """
    Write one relay's client, with a runtime of its own within it, into a directory that is not there yet.

    Otherwise it is as `write_clients`; nothing else may lie beside it.
    """
    _write_client(package, relay, [Overlay.load(path) for path in overlays])
    for module in package.rglob("*.py"):
        text = module.read_text(encoding="utf-8")
        # It stands within the package here, and beside it in the repository.
        module.write_text(
            re.sub(r"^from \.(\.+)runtime\b", r"from \1runtime", text, flags=re.MULTILINE), "utf-8"
        )
    shutil.copytree(_HERE / "runtime", package / "runtime", ignore=shutil.ignore_patterns("__pycache__"))
    for module in package.rglob("*.py"):
        _put_header(module, relay.shown, command)
    _ruff(package.parent, "check", "--fix-only", "--select", "I,F401")
    _ruff(package.parent, "format")
    lock(package, LOCK, {})


def write_clients(tree: Path, relays: Sequence[RelaySource], overlays: Iterable[Path], command: str) -> None:
    """
    Write the package with the relays' clients into an empty directory.

    ``overlays`` make a contract fit for generation, and are applied in the order given; ``command`` is
    what the headers say the files come from. Raises `GenerationError` or `ContractError`.
    """
    package = tree / PACKAGE
    package.mkdir(parents=True)
    adjustments = [Overlay.load(path) for path in overlays]
    for relay in relays:
        _write_client(package / relay.name, relay, adjustments)
    shutil.copytree(_HERE / "runtime", package / "runtime", ignore=shutil.ignore_patterns("__pycache__"))
    names = "".join(f'"{relay.name}",' for relay in relays)
    (package / "__init__.py").write_text(
        '"""The typed clients, one package for each relay; `runtime` is what they share."""\n\n'
        f'RELAYS = ({names})\n"""The names of the relays, which are those of the packages."""\n',
        encoding="utf-8",
    )
    (package / "py.typed").touch()
    origins = {relay.name: relay.shown for relay in relays} | {"runtime": f"{_SHOWN}/runtime/"}
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
        raise GenerationError(f"{root / 'openapi'} holds no contract; write one, as openapi/<relay>.yaml")
    if len(relays) < len(found):
        twice = sorted(relay.shown for relay in found if relays[relay.name] is not relay)
        raise GenerationError(f"{', '.join(twice)}: another file has the same relay's name; rename one")
    overlays = sorted((root / "overlays" / "client").glob("*.yaml"))
    write_clients(tree, [relays[name] for name in sorted(relays)], overlays, COMMAND)
    written = {file for relay in found for file in relay.files}.union(overlays)
    inputs = {Path(os.path.relpath(path, root)).as_posix(): path for path in written}
    own = [_HERE / "config.yaml", *(_HERE / "templates").iterdir(), *(_HERE / "runtime").glob("*.py")]
    inputs |= {f"{_SHOWN}/{path.relative_to(_HERE).as_posix()}": path for path in own if path.is_file()}
    lock(tree, f"{PACKAGE}/{LOCK}", inputs)


def _write_client(package: Path, relay: RelaySource, adjustments: list[Overlay]) -> None:
    document = relay.contract.document
    try:
        shipped = document | relay.origins()
        contract = json.dumps(shipped, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    except (TypeError, ValueError) as error:
        raise ContractError(
            f"is not JSON: {error}; put dates in quotes, and leave out .nan and .inf", source=relay.files[0]
        ) from error
    adjusted = document
    for overlay in adjustments:
        adjusted = overlay.apply(adjusted)
    overlooked = Overlooked.of(document, relay.files[0])
    try:
        refusals = _generated(package, adjusted, overlooked)
    except Exception as error:  # the generator has no base class for what it raises
        raise _refused(f"{relay.shown}: openapi-python-client", repr(error)) from error
    if refusals:
        # Warnings as well: each stands for a part of the contract that the client would not have.
        said = "\n".join(map(_said, refusals))
        raise _refused(f"{relay.shown}: openapi-python-client", said)
    (package / "contract.json").write_text(contract, encoding="utf-8")
    (package / "py.typed").touch()


def _generated(package: Path, document: Any, overlooked: Overlooked) -> Sequence[GeneratorError]:
    """Have openapi-python-client write a package; what it refuses or warns about."""
    config = Config.from_sources(
        ConfigFile.load_from_path(_HERE / "config.yaml"),
        MetaType.NONE,
        package,  # the document is given below; nothing reads it from here
        "utf-8",
        overwrite=False,
        output_path=package,
    )
    with redirect_stdout(io.StringIO()):
        data = GeneratorData.from_dict(document, config=config)
        if isinstance(data, GeneratorError):
            return [data]
        project = Project(openapi=data, config=config, custom_template_path=_HERE / "templates")
        project.env.globals.update(asdict(overlooked, recurse=False))
        return project.build()


def _put_header(module: Path, origin: str, command: str) -> None:
    text = module.read_text(encoding="utf-8")
    header = f"# Generated by `{command}` from {origin}. Do not edit: change that, and generate again."
    # File names are foreign too, and a comment ends where a line does.
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
        raise _refused("ruff", done.stderr.strip() or done.stdout.strip())


def _said(refusal: GeneratorError) -> str:
    data = refusal.data if isinstance(refusal, ParseError) else None
    place = None if data is None else data.model_dump_json(exclude_unset=True, by_alias=True)
    return "\n".join(part for part in (refusal.header, refusal.detail, place) if part)


def _refused(who: str, said: str) -> GenerationError:
    return GenerationError(f"{who} refuses:\n{said}\nCorrect that; nothing has been written.")


TOOLS = ("openapi-python-client", "ruff")
"""The distributions whose release decides over the generated bytes."""


def lock(tree: Path, name: str, inputs: Mapping[str, Path]) -> None:
    """Write the lock of a finished tree: the releases of the tools, the SHA-256 of inputs, and its files."""
    tools = {tool: version(tool) for tool in TOOLS}
    hashes = {shown: hashlib.sha256(inputs[shown].read_bytes()).hexdigest() for shown in sorted(inputs)}
    files = sorted(files_of(tree))
    text = json.dumps({"tools": tools, "inputs": hashes, "files": files}, indent=2, ensure_ascii=False)
    (tree / name).write_text(text + "\n", encoding="utf-8")

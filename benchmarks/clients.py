"""Clients that other generators make from the same contract, without templates and overlays."""

from __future__ import annotations

import importlib
import io
import json
import shutil
import subprocess
import sys
import tempfile
from contextlib import contextmanager, redirect_stdout
from functools import cache
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attrs import frozen

from benchmarks.example import contract

if TYPE_CHECKING:
    from collections.abc import Iterator


class AbsentError(Exception):
    """A client is not available on this machine."""


@frozen
class Stock:
    """openapi-python-client's ``AuthenticatedClient``, the module of the operation, and its ``Task``."""

    client: Any
    operation: Any
    task: Any


@cache
def stock() -> Stock:
    """
    Return the client that openapi-python-client generates from the contract.

    Post-hooks are omitted: they only format the code.
    """
    import openapi_python_client  # noqa: PLC0415 - slow to import, and not always needed
    from openapi_python_client.config import Config, ConfigFile, MetaType  # noqa: PLC0415 - same
    from openapi_python_client.parser.errors import ErrorLevel  # noqa: PLC0415 - same

    with _import_folder() as folder:
        config = Config.from_sources(
            ConfigFile(post_hooks=[]),
            MetaType.NONE,
            folder / "openapi.json",
            "utf-8",
            overwrite=False,
            output_path=folder / "stock_client",
        )
        with redirect_stdout(io.StringIO()):
            warnings = openapi_python_client.generate(config=config)
        # Warnings concern omitted operations; the operation below is not among them.
        if errors := [warning for warning in warnings if warning.level is ErrorLevel.ERROR]:
            raise AbsentError(f"openapi-python-client refuses: {errors}")
        package = importlib.import_module("stock_client")
        operation = importlib.import_module("stock_client.api.task.fetch_task")
        models = importlib.import_module("stock_client.models")
        return Stock(package.AuthenticatedClient, operation, models.Task)


@cache
def pydantic() -> Any:
    """
    Return the package that openapi-generator makes from the contract, with pydantic models.

    Raises:
        AbsentError: Java, the generator or a dependency of its client is not installed.
    """
    java = shutil.which("java")
    if java is None:
        raise AbsentError("Java is not installed")
    try:
        jar = resources.files("openapi_generator_cli") / "openapi-generator.jar"
    except ModuleNotFoundError as error:
        raise AbsentError("openapi-generator-cli is not installed") from error
    with _import_folder() as folder:
        contract, package = folder / "openapi.json", "openapi_generator_client"
        command = [java, "-jar", str(jar), "generate", "-g", "python", "--package-name", package]
        done = subprocess.run(
            [*command, "-i", str(contract), "-o", str(folder)],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise AbsentError(f"openapi-generator fails: {done.stderr[-500:].strip()}")
        try:
            return importlib.import_module(package)
        except ModuleNotFoundError as error:
            raise AbsentError(f"openapi-generator's client needs {error.name}") from error


@contextmanager
def _import_folder() -> Iterator[Path]:
    """Create a temporary folder with the contract, from which modules can be imported."""
    with tempfile.TemporaryDirectory(prefix="mjrelay-bench-") as name:
        folder = Path(name)
        (folder / "openapi.json").write_text(json.dumps(contract()), encoding="utf-8")
        sys.path.insert(0, name)
        try:
            yield folder
        finally:
            sys.path.remove(name)

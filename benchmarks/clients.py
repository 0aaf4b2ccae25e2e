"""What other generators make of the same contract, as it is: no template, no overlay."""

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
    """A client cannot be had here, for the reason given."""


@frozen
class Stock:
    """openapi-python-client's ``AuthenticatedClient``, the module of the operation, and its ``Task``."""

    client: Any
    operation: Any
    task: Any


@cache
def stock() -> Stock:
    """
    The client that openapi-python-client makes of the contract.

    Only the post-hooks are left out, which format the code and change nothing of what it does.
    """
    import openapi_python_client  # noqa: PLC0415 - slow to import, and not every part asks for it
    from openapi_python_client.config import Config, ConfigFile, MetaType  # noqa: PLC0415 - same
    from openapi_python_client.parser.errors import ErrorLevel  # noqa: PLC0415 - same

    with _workshop() as folder:
        config = Config.from_sources(
            ConfigFile(post_hooks=[]),
            MetaType.NONE,
            folder / "openapi.json",
            "utf-8",
            overwrite=False,
            output_path=folder / "stock_client",
        )
        with redirect_stdout(io.StringIO()):
            refusals = openapi_python_client.generate(config=config)
        # It warns of parts that it leaves out; the operation asked for below is none of them.
        if errors := [refusal for refusal in refusals if refusal.level is ErrorLevel.ERROR]:
            raise AbsentError(f"openapi-python-client refuses: {errors}")
        package = importlib.import_module("stock_client")
        operation = importlib.import_module("stock_client.api.task.fetch_task")
        models = importlib.import_module("stock_client.models")
        return Stock(package.AuthenticatedClient, operation, models.Task)


@cache
def pydantic() -> Any:
    """
    The package that openapi-generator makes of the contract with ``-g python``; its models are pydantic's.

    Raises `AbsentError` where Java, the generator or what its client imports is not installed.
    """
    java = shutil.which("java")
    if java is None:
        raise AbsentError("Java is not installed")
    try:
        jar = resources.files("openapi_generator_cli") / "openapi-generator.jar"
    except ModuleNotFoundError as error:
        raise AbsentError("openapi-generator-cli is not installed") from error
    with _workshop() as folder:
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
def _workshop() -> Iterator[Path]:
    """A folder with the contract, from which modules can be imported until it goes."""
    with tempfile.TemporaryDirectory(prefix="mjrelay-bench-") as name:
        folder = Path(name)
        (folder / "openapi.json").write_text(json.dumps(contract()), encoding="utf-8")
        sys.path.insert(0, name)
        try:
            yield folder
        finally:
            sys.path.remove(name)

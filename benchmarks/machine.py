"""The machine on which the benchmarks ran."""

from __future__ import annotations

import os
import platform
from importlib import metadata
from pathlib import Path
from typing import Any

LIBRARIES = (
    "mjrelay",
    "attrs",
    "httpx",
    "httpcore",
    "h11",
    "orjson",
    "pyreqwest",
    "dbos",
    "msgspec",
    "aiohttp",
    "openapi-python-client",
    "openapi-generator-cli",
    "pydantic",
    "urllib3",
)


def facts() -> dict[str, Any]:
    """Return the processor, the interpreter, and the versions of libraries."""
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "system": platform.platform(),
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "libraries": {name: version for name in LIBRARIES if (version := _version(name)) is not None},
    }


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        for line in cpuinfo.read_text(encoding="utf-8").splitlines():
            name, _, value = line.partition(":")
            if name.strip() == "model name":
                return value.strip()
    return platform.processor() or platform.machine()


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None

"""The door of mjrelay.contract."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mjrelay.contract.document import METHODS as METHODS
    from mjrelay.contract.document import ORIGINS as ORIGINS
    from mjrelay.contract.document import Clause as Clause
    from mjrelay.contract.document import Contract as Contract
    from mjrelay.contract.document import data as data
    from mjrelay.contract.environment import api_key as api_key
    from mjrelay.contract.environment import base_url as base_url
    from mjrelay.contract.environment import checked_key as checked_key
    from mjrelay.contract.environment import environment_url as environment_url
    from mjrelay.contract.environment import key_variable as key_variable
    from mjrelay.contract.environment import known_key as known_key
    from mjrelay.contract.environment import missing_key as missing_key
    from mjrelay.contract.environment import read_key as read_key
    from mjrelay.contract.loading import arguments as arguments
    from mjrelay.contract.loading import called as called
    from mjrelay.contract.loading import contract as contract
    from mjrelay.contract.loading import is_path as is_path
    from mjrelay.contract.loading import overlaid as overlaid
    from mjrelay.contract.loading import relays as relays
    from mjrelay.contract.origins import apply_overlay as apply_overlay
    from mjrelay.contract.overlay import Overlay as Overlay
    from mjrelay.contract.profiles import Term as Term
    from mjrelay.contract.profiles import differences as differences
    from mjrelay.contract.profiles import profile as profile
    from mjrelay.contract.profiles import statements as statements
    from mjrelay.contract.requests import Template as Template
    from mjrelay.contract.requests import build as build
    from mjrelay.contract.yaml import line as line
    from mjrelay.contract.yaml import load as load
    from mjrelay.contract.yaml import plain as plain

_WHERE = {
    "Clause": "document",
    "Contract": "document",
    "METHODS": "document",
    "ORIGINS": "document",
    "Overlay": "overlay",
    "Template": "requests",
    "Term": "profiles",
    "api_key": "environment",
    "apply_overlay": "origins",
    "arguments": "loading",
    "base_url": "environment",
    "build": "requests",
    "called": "loading",
    "checked_key": "environment",
    "contract": "loading",
    "data": "document",
    "differences": "profiles",
    "environment_url": "environment",
    "is_path": "loading",
    "key_variable": "environment",
    "known_key": "environment",
    "line": "yaml",
    "load": "yaml",
    "missing_key": "environment",
    "overlaid": "loading",
    "plain": "yaml",
    "profile": "profiles",
    "read_key": "environment",
    "relays": "loading",
    "statements": "profiles",
}


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(f"{__name__}.{_WHERE[name]}"), name)
    return value

"""A cached property without the lock of Python 3.11."""

from __future__ import annotations

import functools
from contextlib import nullcontext
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

T = TypeVar("T")


class cached_property(functools.cached_property[T]):  # noqa: N801 - the name of the one it replaces
    """
    `functools.cached_property` as it is from Python 3.12 on: two threads may both compute the value.

    In 3.11 one lock serves all objects of the class. If another thread holds it during a fork, it is never
    released in the child. See https://github.com/python/cpython/issues/87634.
    """

    def __init__(self, func: Callable[[Any], T]) -> None:
        super().__init__(func)
        self.lock = nullcontext()

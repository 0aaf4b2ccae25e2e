"""Regular expressions of contracts: Python's syntax, bounded in size and in time."""

from __future__ import annotations

import re
import time
import warnings
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from attrs import define, field

from mjrelay.base.caching import cached_property
from mjrelay.base.errors import ContractError

if TYPE_CHECKING:
    from collections.abc import Iterator


LONGEST = 1_000
"""Maximum length of a pattern."""
COPIES = 10_000
"""Maximum number of elements with counted repetitions, such as ``{8}``, expanded."""
DEEPEST = 50
"""Maximum nesting of groups."""
SECONDS = 0.2
"""Maximum CPU time of a match, or of all matches within `time_limit`."""

_VERBOSE = r"\(\?[a-z]*x"
# Comments, escapes, character classes, counted repetitions; then any other character.
_TOKEN = re.compile(
    rf"({_VERBOSE})|\(\?#[^)]*\)|\\N\{{[^}}]*\}}|\\.|\[\^?\]?(?:\\.|[^]\\])*\]|\{{(\d*)(?:,(\d*))?\}}|.",
    re.DOTALL,
)
_IN_CLASS = re.compile(r"(\\.)|\[", re.DOTALL)


class PatternError(ContractError):
    """A regular expression of a contract is not valid or too large, or a match takes too long."""


@define
class _Budget:
    """Remaining CPU time for matches, in seconds."""

    left: float


_budget: ContextVar[_Budget | None] = ContextVar("_budget", default=None)


@contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Limit the total CPU time of all matches inside. An outer limit takes precedence."""
    outer = _budget.get()
    token = _budget.set(outer or _Budget(min(seconds, SECONDS)))
    try:
        yield
    finally:
        _budget.reset(token)


@define(frozen=True, slots=False)
class Pattern:
    """
    A regular expression with a time limit. Its methods raise `PatternError` if a match takes too long.
    """

    text: str
    groups: int = field(eq=False, repr=False)
    _translated: str = field(eq=False, repr=False)

    @classmethod
    def compile(cls, text: str) -> Pattern:
        """Compile a pattern; raise `PatternError` if it is not valid in Python or too large."""
        translated = check_pattern(text)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", FutureWarning)  # `[[` is a set, as it is today
                groups = re.compile(text).groups
        except (re.error, OverflowError, RecursionError) as error:
            raise PatternError(f"{text!r} is not a regular expression: {error}") from error
        return cls(text, groups, translated)

    def fullmatch(self, value: str) -> re.Match[str] | None:
        """Match the whole value."""
        found: re.Match[str] | None = self._match("fullmatch", value)
        return found

    def search(self, value: str) -> re.Match[str] | None:
        """Find the first match in the value."""
        found: re.Match[str] | None = self._match("search", value)
        return found

    def captures(self, value: str) -> list[str]:
        """Return what the one group of the pattern captures in each match."""
        found: list[str] = self._match("findall", value)
        return found

    @cached_property
    def _compiled(self) -> Any:
        import regex  # type: ignore[import-untyped]  # noqa: PLC0415 - slow to import; has no type hints

        try:
            return regex.compile(self._translated)
        except (regex.error, ValueError, RecursionError) as error:
            raise PatternError(f"{self.text!r} is not a regular expression: {error}") from error

    def _match(self, method: str, value: str) -> Any:
        match = getattr(self._compiled, method)
        budget = _budget.get() or _Budget(SECONDS)
        started = time.thread_time()
        try:
            if budget.left > 0:
                return match(value, timeout=budget.left)
        except (TimeoutError, MemoryError):
            pass
        finally:
            budget.left -= time.thread_time() - started
        budget.left = 0.0
        raise PatternError(
            f"{_cut(self.text)} takes longer than allowed on a text of {len(value):,} characters (a match "
            f"has at most {SECONDS} s of processor time); write it without repetitions inside repetitions"
        )


def check_pattern(text: str) -> str:
    """
    Return the pattern in the syntax of the module ``regex``; raise `PatternError` if it is too large.

    That module gives ``{e}`` and ``[[:alpha:]]`` a special meaning, which `re` does not.
    """
    if len(text) > LONGEST:
        raise PatternError(
            f"{_cut(text)} has {len(text):,} characters, the limit is {LONGEST:,}; write a shorter pattern"
        )
    sizes, last, written = [0], 0, []
    for token in _TOKEN.finditer(text):
        found = token[0]
        if token[1] is not None:
            raise PatternError(f"{_cut(text)} has the flag x; write it without white space and comments")
        if found == "(":
            sizes.append(0)
        elif found == ")" and len(sizes) > 1:
            last = sizes.pop()
            sizes[-1] += last
        elif token[2] is not None and (token[2] or token[3]):
            times = max(int(token[3] or 0), int(token[2] or 0), 1)
            sizes[-1] += last * (times - 1)
            last *= times
        else:
            last = 1
            sizes[-1] += last
        if len(sizes) - 1 > DEEPEST:
            raise PatternError(f"{_cut(text)} nests groups deeper than {DEEPEST}; write fewer groups")
        written.append(_translated(found))
    if sum(sizes) > COPIES:
        raise PatternError(
            f"{_cut(text)} has {sum(sizes):,} elements once its repetitions are written out, the limit is "
            f"{COPIES:,}; lower the counts in braces"
        )
    return "".join(written)


def _translated(token: str) -> str:
    if token.startswith("[") and len(token) > 1:
        return "[" + _IN_CLASS.sub(lambda found: found[1] or r"\[", token[1:])
    return f"\\{token}" if token in {"{", "{}"} else token


def _cut(text: str) -> str:
    return repr(text if len(text) <= 60 else f"{text[:60]}…")

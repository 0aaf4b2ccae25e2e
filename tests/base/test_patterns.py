"""Patterns of contracts mean what they mean in Python's `re`, and every match has an end."""

from __future__ import annotations

import re
import warnings

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mjrelay.base import Pattern, PatternError, time_limit

SLOW, TEXT = "(a|aa)+", "a" * 80 + "b"


@given(
    st.text(st.sampled_from("ab[]()|?:{},1-^.\\d"), max_size=12),
    st.text(st.sampled_from("ab[]{},1:-."), max_size=8),
)
def test_the_syntax_is_that_of_re(pattern: str, text: str) -> None:
    """A pattern that `re` compiles finds what it finds there; braces and brackets have no other meaning."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            wanted = re.compile(pattern)
        except re.error:
            with pytest.raises(PatternError):
                Pattern.compile(pattern)
            return
        compiled = Pattern.compile(pattern)
    for found, expected in (
        (compiled.search(text), wanted.search(text)),
        (compiled.fullmatch(text), wanted.fullmatch(text)),
    ):
        assert (found and found.span()) == (expected and expected.span())


@pytest.mark.parametrize("pattern", ["x{e}", "[[:alpha:]]+", "{", "a{}", "[[a]]", "(?i)A{2}"])
def test_what_regex_alone_reads_otherwise(pattern: str) -> None:
    """Fuzzy matches and POSIX classes of the module `regex` are not part of the syntax."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        wanted, compiled = re.compile(pattern), Pattern.compile(pattern)
        for text in ("x{e}", "x", "alpha]", ":]", "{", "a{}", "a", "aa", "a]", "[]"):
            assert bool(compiled.fullmatch(text)) == bool(wanted.fullmatch(text)), text


def test_a_match_has_an_end() -> None:
    """A match that backtracks without end is an error that names the pattern, and not the text."""
    with pytest.raises(PatternError, match=r"takes longer than allowed on a text of 81 characters") as raised:
        Pattern.compile(SLOW).fullmatch(TEXT)
    assert SLOW in str(raised.value)
    assert TEXT not in str(raised.value)


def test_matches_share_a_limit() -> None:
    """Within a limit the time of all matches counts, and once it is over no match begins."""
    fast, slow = Pattern.compile("a"), Pattern.compile(SLOW)
    with time_limit(0.05):
        assert fast.fullmatch("a")
        with pytest.raises(PatternError):
            slow.fullmatch(TEXT)
        with time_limit(9.0), pytest.raises(PatternError):
            fast.fullmatch("a")
    assert fast.fullmatch("a")


@pytest.mark.parametrize(
    ("pattern", "text"), [(r"\N{DIGIT ONE}x", "1x"), (r"[\N{DIGIT ONE}]", "1"), ("[[a]", "[")]
)
def test_names_and_brackets_are_those_of_re(pattern: str, text: str) -> None:
    """Named characters match, and a bracket in a set raises no warning."""
    assert Pattern.compile(pattern).fullmatch(text)

"""Text for people, and JSON Pointers."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from mjrelay.base import json_pointer, pointer_steps, replace_unprintable


@given(st.text())
def test_no_control_character_is_left(text: str) -> None:
    """The result is printable, apart from line breaks that are kept."""
    assert replace_unprintable(text).isprintable()
    assert replace_unprintable(text, keep_lines=True).replace("\n", "").isprintable()


def test_white_space_becomes_a_space() -> None:
    """A run of line breaks is one space; other control characters are shown as U+FFFD."""
    assert replace_unprintable("a\r\n\tb\u2028c\x1b[2J") == "a b c\ufffd[2J"
    assert replace_unprintable("a\r\nb\tc", keep_lines=True) == "a\nb c"


@given(st.lists(st.text()))
def test_a_pointer_gives_its_names_back(names: list[str]) -> None:
    """Escaping and unescaping the names of a JSON Pointer changes none of them."""
    assert pointer_steps(json_pointer(tuple(names))) == names

"""The curl command that repeats a request."""

from __future__ import annotations

import re
import shlex
from typing import TYPE_CHECKING

from mjrelay.http import REDACTED

if TYPE_CHECKING:
    from mjrelay.http import Exchange


_BASE_URL = "MJRELAY_BASE_URL"
_KEY = "MJRELAY_API_KEY"
_CURL_FIELDS = {"host", "connection", "accept-encoding", "user-agent", "content-length"}
"""Header fields that curl adds itself."""


def curl(exchange: Exchange, base_url: str) -> str:
    """
    Return the one-line curl command that repeats an exchange.

    The base URL and the API key are replaced by the environment variables that the suite reads.
    """
    target = exchange.url.removeprefix(base_url.rstrip("/"))
    words = ["curl", "--include", "--silent", "--show-error"]
    if re.search(r"[][{}]", target):
        words.append("--globoff")
    if re.search(r"/(\.|%2e)", target, re.IGNORECASE):
        words.append("--path-as-is")
    if exchange.method == "HEAD":
        words.append("--head")
    elif exchange.method != "GET" or exchange.request_body:
        words += ["--request", shlex.quote(exchange.method)]
    words.append(_quoted(f"{REDACTED}{target}", {0: _BASE_URL}))
    for name, value in exchange.request_headers:
        if name.lower() not in _CURL_FIELDS:
            words += ["--header", _quoted(f"{name}: {value}" if value else f"{name};", {})]
    if exchange.request_body:
        words += ["--data-binary", _quoted(exchange.request_body.decode("utf-8", "replace"), {})]
    return " ".join(words)


def _quoted(text: str, variables: dict[int, str]) -> str:
    """
    Quote a text for the shell, with the API key's variable for each placeholder.

    ``variables`` maps the number of a placeholder to another variable.
    """
    if REDACTED not in text:
        return shlex.quote(text)
    pieces = [re.sub(r'([\\"$`])', r"\\\1", piece) for piece in text.split(REDACTED)]
    word = pieces[0]
    for number, piece in enumerate(pieces[1:]):
        word += "${" + variables.get(number, _KEY) + "}" + piece
    return f'"{word}"'

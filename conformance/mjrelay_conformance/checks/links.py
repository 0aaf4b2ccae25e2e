"""Whether a media URL is reachable from outside, and when it expires."""

from __future__ import annotations

import ipaddress
import re
import socket
from functools import lru_cache
from urllib.parse import urlsplit

from mjrelay.http import MediaURL, is_public_address, url_expiry

_DOMAIN = re.compile(r"[a-z0-9-]{1,63}(?:\.[a-z0-9-]{1,63})+")
_PRIVATE = ("localhost", "local", "internal", "home.arpa")
"""Domains that resolve to a different machine on each network."""


def absolute(url: str) -> bool:
    """Whether a URL has the scheme http or https, and a host."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    return parts.scheme in {"http", "https"} and bool(parts.netloc)


def unreachable(url: str, request_url: str) -> str | None:
    """
    Explain why a URL is unreachable from outside; None if it is reachable, or on the server that was asked.

    A client that reaches the relay reaches such media too.
    """
    try:
        if url != url.strip():
            return "it has surrounding white space"
        parts = urlsplit(url)
        if parts.scheme == "https" and _DOMAIN.fullmatch(parts.netloc) and _public(parts.netloc):
            return None  # the usual case, without a full parse
        media = MediaURL.of(url)
    except ValueError as error:
        return str(error)
    try:
        relay = MediaURL.of(request_url)
    except ValueError:
        relay = None
    if relay is not None and relay.scheme == media.scheme and relay.same_server(media):
        return None
    if not _public(media.host):
        return f"{media.host} is not reachable from outside"
    return None if media.scheme == "https" else "it does not use https"


@lru_cache(256)
def _public(host: str) -> bool:
    """Whether a host may be reachable from the Internet."""
    name = host.rstrip(".")
    if ":" not in name and not name.rpartition(".")[2][:1].isdigit():
        return "." in name and not any(name.endswith("." + domain) for domain in _PRIVATE)
    try:
        return is_public_address(ipaddress.ip_address(name))
    except ValueError:
        pass
    try:  # short forms of addresses, such as 127.1
        return is_public_address(ipaddress.IPv4Address(socket.inet_aton(name)))
    except OSError:
        return False


@lru_cache(64)
def known_expiry(url: str) -> float | None:
    """Return the expiry of a signed URL in Unix time; None if it has none."""
    try:
        return url_expiry(url) if "?" in url else None
    except ValueError:
        return None

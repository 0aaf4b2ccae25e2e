"""Whether a link to media is of use to others, and until when."""

from __future__ import annotations

import ipaddress
import re
import socket
from functools import lru_cache
from urllib.parse import urlsplit

from mjrelay.http import MediaURL, is_public_address, url_expiry

_DOMAIN = re.compile(r"[a-z0-9-]{1,63}(?:\.[a-z0-9-]{1,63})+")
_PRIVATE = ("localhost", "local", "internal", "home.arpa")
"""Domains that lead to another machine from everywhere."""


def absolute(url: str) -> bool:
    """Whether it is a URL with a scheme of the web and a host."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    return parts.scheme in {"http", "https"} and bool(parts.netloc)


def unreachable(url: str, asked: str) -> str | None:
    """Why a link is of no use to others; None for one that is, or that leads back to where it came from."""
    try:
        if url != url.strip():
            return "there is white space around it"
        parts = urlsplit(url)
        if parts.scheme == "https" and _DOMAIN.fullmatch(parts.netloc) and _public(parts.netloc):
            return None  # as nearly all are, and to look no closer is much quicker
        link = MediaURL.of(url)
    except ValueError as error:
        return str(error)
    if not _public(link.host):
        try:
            relay = MediaURL.of(asked)
        except ValueError:
            relay = None
        # Whoever asks a relay in the same room gets there too.
        here = relay is not None and (relay.scheme, relay.host, relay.port) == (
            link.scheme,
            link.host,
            link.port,
        )
        return None if here else f"nobody else reaches {link.host}"
    return None if link.scheme == "https" else "it is not https"


@lru_cache(256)
def _public(host: str) -> bool:
    """Whether a host's name, looked at from outside, may belong to the Internet at large."""
    name = host.rstrip(".")
    if ":" not in name and not name.rpartition(".")[2][:1].isdigit():
        return "." in name and not any(name.endswith("." + domain) for domain in _PRIVATE)
    try:
        return is_public_address(ipaddress.ip_address(name))
    except ValueError:
        pass
    try:  # the short forms that clients take for addresses too
        return is_public_address(ipaddress.IPv4Address(socket.inet_aton(name)))
    except OSError:
        return False


@lru_cache(64)
def known_expiry(url: str) -> float | None:
    """When a signed link ends, in Unix time; None where it does not say so."""
    try:
        return url_expiry(url) if "?" in url else None
    except ValueError:
        return None

"""URLs: base URLs, media URLs, public addresses and expiry of signed URLs."""

from __future__ import annotations

import ipaddress
import re
from contextlib import suppress
from datetime import UTC, datetime
from urllib.parse import parse_qsl, quote, urlsplit

from attrs import frozen

from mjrelay.base import SettingError

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

LOOPBACK = ipaddress.IPv4Address("127.0.0.1")

UNSENT = re.compile(r"[^!-~]+")
"""Characters that must be percent-encoded in a URL."""

_PORTS = {"http": 80, "https": 443}
_HOST = re.compile(r"[a-z0-9_.:-]+")
_UNICAST = ipaddress.IPv6Network("2000::/3")
_TRANSLATED = ipaddress.IPv6Network("64:ff9b::/96")


@frozen
class MediaURL:
    """A media URL, normalised."""

    url: str
    scheme: str
    host: str
    port: int
    path: str

    @classmethod
    def of(cls, url: str) -> MediaURL:
        """Parse a URL; raise ValueError, with the reason, for one that must not be requested."""
        parts = urlsplit(url.strip())
        if parts.scheme not in _PORTS:
            raise ValueError("only http:// and https:// URLs are downloaded")
        if "@" in parts.netloc:
            raise ValueError("a URL with a user name or password is not requested")
        try:
            host = (parts.hostname or "").encode("idna").decode("ascii")
        except UnicodeError as error:
            raise ValueError("the host name of the URL is not valid") from error
        if not _HOST.fullmatch(host):
            raise ValueError("the URL has no valid host")
        port = _PORTS[parts.scheme] if parts.port is None else parts.port
        place = (f"[{host}]" if ":" in host else host) + ("" if parts.port is None else f":{port}")
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        target = UNSENT.sub(lambda match: quote(match[0], errors="replace"), target)
        return cls(f"{parts.scheme}://{place}{target}", parts.scheme, host, port, parts.path)

    def same_server(self, other: MediaURL) -> bool:
        """Return whether both URLs have the same host and port; all loopback hosts are the same one."""
        same_host = self.host == other.host or (is_loopback_url(self.url) and is_loopback_url(other.url))
        return same_host and self.port == other.port


def plain_url(url: str) -> str:
    """Return a URL without credentials and query, which may be secret."""
    return re.sub(r"//[^/]*@", "//", re.split(r"[?#]", url, maxsplit=1)[0])


def shown_url(url: str) -> str:
    """Return a URL for display."""
    return UNSENT.sub("_", plain_url(url))[:200]


def is_public_address(address: Address) -> bool:
    """Return whether an address is public, also when it embeds another address (NAT64, mapped, tunnels)."""
    if isinstance(address, ipaddress.IPv6Address):
        if address in _TRANSLATED:
            return is_public_address(ipaddress.IPv4Address(int(address) & 0xFFFFFFFF))
        if address.ipv4_mapped is not None:
            return is_public_address(address.ipv4_mapped)
        tunnel = address.sixtofour is not None or address.teredo is not None
        return address in _UNICAST and address.is_global and not tunnel
    return address.is_global and not address.is_multicast


def url_expiry(url: str) -> float | None:
    """Return the expiry of a signed URL in Unix time, in the formats of common storages, or None."""
    fields = {name.lower(): value for name, value in parse_qsl(urlsplit(url).query)}
    moment: float | None = None
    if "hm" in fields and re.fullmatch(r"[0-9a-fA-F]{1,8}", fields.get("ex", "")):
        moment = int(fields["ex"], 16)
    elif re.fullmatch(r"[0-9]{1,10}", fields.get("expires", "")):
        moment = int(fields["expires"])
    elif match := re.fullmatch(r"[0-9]{1,10};([0-9]{1,10})", fields.get("q-sign-time", "")):
        moment = int(match[1])
    elif "sig" in fields and "se" in fields:
        moment = _moment(fields["se"])
    else:
        for name, value in fields.items():
            if (match := re.fullmatch(r"x-([a-z]+)-expires", name)) and re.fullmatch(r"[0-9]{1,9}", value):
                start = _moment(fields.get(f"x-{match[1]}-date", ""))
                moment = None if start is None else start + int(value)
    return moment if moment is not None and 0 <= moment < 1e11 else None


def _moment(text: str) -> float | None:
    with suppress(ValueError, OverflowError):
        moment = datetime.fromisoformat(text)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    return None


def checked_url(url: str) -> str:
    """Return a base URL without a trailing slash; raise `SettingError` if it is not valid."""
    if not isinstance(url, str):
        raise SettingError(f"the base URL is of type {type(url).__name__}; write 'https://host'")
    url = url.strip()
    if not url:
        raise SettingError("the base URL is empty; write https://host, or omit it")
    if re.search(r"\s", url):  # urlsplit drops some white space silently
        raise SettingError(f"{url!r} is not a URL: it contains white space; copy it again")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise SettingError(f"{url!r} is not a URL ({error}); write https://host") from error
    if parts.scheme not in {"http", "https"} or not parts.hostname or port == 0:
        raise SettingError(f"{url!r} is not an http or https URL; write https://host")
    try:
        url.encode("ascii")
        parts.hostname.encode("idna")
    except UnicodeError as error:
        raise SettingError(f"{url!r} is not an ASCII URL; write host and path in ASCII") from error
    if parts.username or parts.password or parts.query or parts.fragment:
        raise SettingError(
            f"{parts.hostname}: a base URL must not contain credentials, query or fragment; remove them"
        )
    return url.rstrip("/")


def is_loopback_url(url: str) -> bool:
    """Return whether a URL is on this machine, so that requests cost nothing."""
    host = urlsplit(url).hostname or ""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def join_url(base_url: str, target: str) -> str:
    """
    Return the URL of a target on a relay.

    The path of the base URL is a prefix. An overlap with the target appears once: ``https://host/api`` and
    ``/api/task`` are joined to ``https://host/api/task``.
    """
    return "".join(origin_and_target(base_url, target))


def origin_and_target(base_url: str, target: str) -> tuple[str, str]:
    """Return the parts of `join_url`: scheme and host, and path and query."""
    base = urlsplit(base_url)
    prefix = [part for part in base.path.split("/") if part]
    path, mark, query = target.partition("?")
    steps = path.split("/")[1:]
    for overlap in range(min(len(prefix), len(steps)), 0, -1):
        if prefix[-overlap:] == steps[:overlap]:
            prefix = prefix[:-overlap]
            break
    return f"{base.scheme}://{base.netloc}", "/" + "/".join([*prefix, *steps]) + mark + query

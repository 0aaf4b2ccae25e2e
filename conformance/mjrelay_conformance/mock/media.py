"""The media files of a mock relay: links to the mock itself, and small files behind them."""

from __future__ import annotations

import base64
import re
import struct
import zlib
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from mjrelay_conformance.mock import writer
from mjrelay_conformance.mock.responses import MockResponse

if TYPE_CHECKING:
    from mjrelay.contract import Contract
    from mjrelay_conformance.mock.received import ReceivedRequest

_ORIGIN = re.compile(r"(?:[a-z][a-z0-9+.-]*:)?//[^/?#]*", re.IGNORECASE)
_HOST = re.compile(r"[A-Za-z0-9._-]+(:[0-9]{1,5})?|\[[0-9A-Fa-f:.]+\](:[0-9]{1,5})?")


class MediaFiles:
    """
    The media of a contract's tasks.

    A file exists once its link was served, and is the same for everybody: relays need no key for media.
    """

    def __init__(self, contract: Contract) -> None:
        self._contract = contract
        self._types: dict[str, str] = {}

    def link(self, document: Any, host: str | None) -> Any:
        """
        Return a task's document with media links that lead to ``host``, with the same path and query.

        A text elsewhere in the document that equals a media link changes too, so that relations still hold.
        Without a valid host the links stay.
        """
        reader, links = self._contract.reader, {}
        for kind, found in (("image/png", reader.image_media), ("video/mp4", reader.video_media)):
            for url in (url for media in found for url in media.urls(document)):
                try:
                    path = urlsplit(url).path
                except ValueError:  # an example may be no URL
                    continue
                self._types[unquote(path)] = _TYPES.get(PurePosixPath(path).suffix.lower(), kind)
                if host is not None and _HOST.fullmatch(host):
                    links[url] = _ORIGIN.sub(f"http://{host}", url, count=1)
        return writer.replace_texts(document, links) if links else document

    def answer(self, path: str, received: ReceivedRequest, key: str) -> MockResponse | None:
        """Return the file at a path, 400 if the request has a credential, or None if there is no file."""
        kind = self._types.get(unquote(path))
        if kind is None or received.method not in {"GET", "HEAD"}:
            return None
        if self._has_key(received, key):
            return MockResponse(400, (("content-type", "text/plain"),), b"media need no key: send none\n")
        return MockResponse(200, (("content-type", kind), ("cache-control", "no-store")), _FILES[kind])

    def _has_key(self, received: ReceivedRequest, key: str) -> bool:
        """Return whether a request has a credential, right or wrong, or the key in any header."""
        if key and any(key in value for _, value in received.headers):
            return True
        return any(
            # A signature in a link may have the name of the contract's query parameter.
            secret and (credential.place != "query" or secret == key)
            for credential in self._contract.credentials
            for secret in received.presented(credential)
        )


def _png(size: int, color: bytes) -> bytes:
    """Return a PNG image of one colour."""
    parts = {
        b"IHDR": struct.pack(">IIBBBBB", size, size, 8, 2, 0, 0, 0),
        b"IDAT": zlib.compress((b"\0" + color * size) * size),
        b"IEND": b"",
    }
    chunks = (
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        for name, data in parts.items()
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


# Files of 16 × 16 pixels; the video has one frame of H.264.
_FILES = {
    "image/png": _png(16, b"\x5a\x78\xc8"),
    "image/webp": base64.b64decode("UklGRh4AAABXRUJQVlA4TBEAAAAvD8ADAAdQvGoVuf+BiOh/AAA="),
    "image/jpeg": base64.b64decode(
        "/9j/4AAQSkZJRgABAQAAAQABAAD/2wBDAP" + "/" * 86 + "2wBDAf" + "/" * 86 + "wAARCAAQABADASIAAhEBAxEB/8QA"
        "FAABAAAAAAAAAAAAAAAAAAAAAP/EABQQAQAAAAAAAAAAAAAAAAAAAAD/xAAUAQEAAAAAAAAAAAAAAAAAAAAB/8QAFBEBAAAAAAAA"
        "AAAAAAAAAAAAAP/aAAwDAQACEQMRAD8AAEP/2Q=="
    ),
    "video/mp4": zlib.decompress(
        base64.b64decode(
            "eNpjYGBQSCupLMgszs9lYGBiANFAbJRYlmyYW2BiyMDAwJFWlJoKpOVyUxJLgLRQakcLS42bBoN8HwMT28UDDA76QJ13c/"
            "Pzy4CyObllGSkMKID5BRgzMoAQAjCiqkLnOzDgBUxApFNSlJgNZMeUZIPtZMY0DWQ3fnuw2isAxQwMKqkpJcVAWiY1p7gE"
            "oQNqLlgv45LclMxEIEMhNwXd7w5gHHoEzNHNSMkpgsmUZaakIqsMA/LzPRLzUnJSQWoY/XMz89KADJGyXLChyM5USYHIya"
            "QUpaYheYOntChHAcJm5C8uScoBslcXlxSnIKmZDYpaHEEB8rQAgweQ9sCpAh1I/P8PJA2BpjozOh3g+v+QQTQdSN+UawFF"
            "CAuI4LDxmKnAyMCacbrhyaY/v36DtIkklRTBwnMDzKjiEnBYwyxmhMaGDNALyajicCwClKuCyokhxJLzkdQbALFtaUoJKI"
            "5Mc1PBNAgoIscHMA6LEgsKcpD9xpEJjHQAwL1mng=="
        )
    ),
}
_TYPES = {
    ".png": "image/png",
    ".webp": "image/webp",
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".mp4": "video/mp4",
}

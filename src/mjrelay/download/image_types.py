"""The media type of an image, by its first bytes."""

from __future__ import annotations

import re

_SIGNATURES = (
    (rb"\x89PNG\r\n\x1a\n", "image/png"),
    (rb"\xff\xd8\xff", "image/jpeg"),
    (rb"RIFF....WEBP", "image/webp"),
    (rb"GIF8[79]a", "image/gif"),
)


def image_type(data: bytes) -> str | None:
    """Return the media type of an image, or None if the bytes are no image."""
    return next((kind for signature, kind in _SIGNATURES if re.match(signature, data, re.DOTALL)), None)

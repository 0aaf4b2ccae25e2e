"""Read the images of a submit. Nothing is downloaded: a URL is passed on as it is."""

from __future__ import annotations

import base64
import binascii
from os import PathLike, fspath
from typing import TYPE_CHECKING, TypeAlias

from mjrelay.base import SettingError, read_file
from mjrelay.contract import Image
from mjrelay.download import image_type

if TYPE_CHECKING:
    from collections.abc import Sequence

LARGEST_IMAGE = 64 << 20
"""Bytes of an image."""

ImageSource: TypeAlias = str | bytes | PathLike[str]
"""An image: a URL, the bytes, or a path. Text that starts with ``http://`` or ``https://`` is a URL."""


def read_images(argument: str, sources: ImageSource | Sequence[ImageSource]) -> list[Image]:
    """
    Return images with their media types.

    Args:
        argument: The argument's name, for errors.
        sources: One image or several.

    Raises:
        SettingError: A file cannot be read, is too large, or is not an image.
    """
    try:
        several = [sources] if isinstance(sources, str | bytes | PathLike) else list(sources)
    except TypeError:
        raise SettingError(f"{argument} is {type(sources).__name__}; pass URLs, paths or bytes") from None
    return [_read(argument, source) for source in several]


def _read(argument: str, source: ImageSource) -> Image:
    if isinstance(source, str) and source.startswith(("http://", "https://")):
        return Image(url=source)
    if isinstance(source, str) and source.startswith("data:"):
        data, shown = _decoded(argument, source), "the data URL"
    elif isinstance(source, str | PathLike):
        shown = fspath(source)
        try:
            data = read_file(source, LARGEST_IMAGE)
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or error
            raise SettingError(f"{argument}: {shown} cannot be read: {reason}") from error
    elif isinstance(source, bytes):
        data, shown = source, "the data"
    else:
        raise SettingError(f"{argument} is {type(source).__name__}; pass a URL, a path or bytes")
    if len(data) > LARGEST_IMAGE:
        raise SettingError(f"{argument}: {shown} has {len(data)} bytes, the limit is {LARGEST_IMAGE}")
    media_type = image_type(data)
    if media_type is None:
        raise SettingError(f"{argument}: {shown} is not an image; pass PNG, JPEG, WebP or GIF")
    return Image(data=data, media_type=media_type)


def _decoded(argument: str, url: str) -> bytes:
    head, comma, text = url.partition(",")
    try:
        return base64.b64decode(text if comma and head.endswith(";base64") else "?", validate=True)
    except (ValueError, binascii.Error) as error:
        raise SettingError(f"{argument}: the data URL is not base64; pass bytes or a path") from error

"""What a generated client raises; whatever else leaves it comes from httpx, or is a caller's `ValueError`."""

from __future__ import annotations

from typing import Any, Final

from attrs import define

_EXCERPT: Final = 80
_NAME: Final = 40


class ClientError(Exception):
    """The base of what the generated clients raise about a relay's answer."""


@define(eq=False, repr=False, slots=False)
class DecodeError(ClientError):
    """
    A body is not what the contract documents for its status.

    ``path`` leads to the place that differs, as in ``$.buttons[0].style``. ``status_code`` and ``content``
    are those of the response, or None and empty where a document was decoded without one. The message
    shows no more than the beginning of the body.
    """

    expected: str
    got: str
    path: str = "$"
    status_code: int | None = None
    content: bytes = b""
    excerpt: str = ""

    def within(self, step: str | int) -> DecodeError:
        """The same error, seen from the array or object that holds its place."""
        if isinstance(step, int):
            shown = f"[{step}]"
        elif step.isidentifier() and len(step) <= _NAME:
            shown = f".{step}"
        else:
            shown = f"[{step[:_NAME]!r}]"
        return DecodeError(self.expected, self.got, f"${shown}{self.path[1:]}")

    def of(self, status_code: int, content: bytes, *, secret: str = "") -> DecodeError:
        """The same error, with the response it was found in; the secret is left out of the excerpt."""
        text = content[: (_EXCERPT + 1) * (len(secret) + 1)].decode("utf-8", "replace")
        text = text.replace(secret, "[redacted]") if secret else text
        return DecodeError(self.expected, self.got, self.path, status_code, content, text[:_EXCERPT])

    def __str__(self) -> str:
        status = "" if self.status_code is None else f" in an answer with status {self.status_code}"
        excerpt = f"; it begins {self.excerpt!r}" if self.excerpt else ""
        return f"{self.path}: expected {self.expected}, got {self.got}{status}{excerpt}"

    def __repr__(self) -> str:
        return f"DecodeError({str(self)!r})"


@define(eq=False, repr=False, slots=False)
class UnexpectedStatus(ClientError):  # noqa: N818 - the name its users know from openapi-python-client
    """
    The relay answered with something else than a success the contract documents.

    ``parsed`` is the error document where the contract has one for this status, otherwise None; the
    message shows neither it nor ``content``.
    """

    status_code: int
    content: bytes
    parsed: Any = None

    def __str__(self) -> str:
        return f"the relay answered with status {self.status_code}; see content and parsed for what it says"

    def __repr__(self) -> str:
        return f"UnexpectedStatus(status_code={self.status_code})"


__all__ = ["ClientError", "DecodeError", "UnexpectedStatus"]

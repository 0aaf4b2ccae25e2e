"""The exceptions of a generated client. It also raises errors of httpx, and `ValueError` for arguments."""

from __future__ import annotations

from typing import Any, Final

from attrs import define

_EXCERPT: Final = 80
_NAME: Final = 40


class ClientError(Exception):
    """The base class of errors about a response."""


@define(eq=False, repr=False, slots=False)
class DecodeError(ClientError):
    """
    A body does not match the contract.

    The message shows at most the first 80 characters of the body.

    Attributes:
        expected: The documented type.
        got: The received type.
        path: The path of the value, such as ``$.buttons[0].style``.
        status_code: The status of the response, or None without a response.
        content: The body of the response, or empty without a response.
    """

    expected: str
    got: str
    path: str = "$"
    status_code: int | None = None
    content: bytes = b""
    excerpt: str = ""

    def within(self, step: str | int) -> DecodeError:
        """Return the error with the key or index of the enclosing object or array added to its path."""
        if isinstance(step, int):
            shown = f"[{step}]"
        elif step.isidentifier() and len(step) <= _NAME:
            shown = f".{step}"
        else:
            shown = f"[{step[:_NAME]!r}]"
        return DecodeError(self.expected, self.got, f"${shown}{self.path[1:]}")

    def of(self, status_code: int, content: bytes, *, secret: str = "") -> DecodeError:
        """Return the error with its response; the secret is redacted from the excerpt."""
        text = content[: (_EXCERPT + 1) * (len(secret) + 1)].decode("utf-8", "replace")
        text = text.replace(secret, "[redacted]") if secret else text
        return DecodeError(self.expected, self.got, self.path, status_code, content, text[:_EXCERPT])

    def __str__(self) -> str:
        status = "" if self.status_code is None else f" in a response with status {self.status_code}"
        excerpt = f"; the body begins with {self.excerpt!r}" if self.excerpt else ""
        return f"{self.path}: expected {self.expected}, got {self.got}{status}{excerpt}"

    def __repr__(self) -> str:
        return f"DecodeError({str(self)!r})"


@define(eq=False, repr=False, slots=False)
class UnexpectedStatus(ClientError):  # noqa: N818 - the name that openapi-python-client uses
    """
    The response is not a documented success.

    The message does not show the body.

    Attributes:
        status_code: The status of the response.
        content: The body of the response.
        parsed: The decoded error document, or None if the contract has none for this status.
    """

    status_code: int
    content: bytes
    parsed: Any = None

    def __str__(self) -> str:
        return f"the relay returned status {self.status_code}; see .content and .parsed"

    def __repr__(self) -> str:
        return f"UnexpectedStatus(status_code={self.status_code})"


__all__ = ["ClientError", "DecodeError", "UnexpectedStatus"]

"""The one place where secrets are taken out of what is shown or written."""

from __future__ import annotations

import base64
import json
from urllib.parse import quote, quote_plus

REDACTED = "[redacted]"


class Redactor:
    """
    Replaces the values of secrets, whatever field they stand in, in the forms that they travel in.

    Secrets of fewer than four characters are not looked for: they would tear words apart.
    """

    def __init__(self, *secrets: str) -> None:
        forms = {
            form
            for secret in secrets
            if len(secret) >= 4
            for form in (
                secret,
                quote(secret, safe=""),
                quote_plus(secret),
                json.dumps(secret)[1:-1],
                json.dumps(secret, ensure_ascii=False)[1:-1],
                base64.b64encode(secret.encode()).decode(),
            )
        }
        self._forms = sorted(forms, key=lambda form: (-len(form), form))

    def text(self, text: str) -> str:
        """The text without the secrets."""
        for form in self._forms:
            text = text.replace(form, REDACTED)
        return text

    def bytes(self, data: bytes) -> bytes:
        """The bytes without the secrets."""
        for form in self._forms:
            data = data.replace(form.encode(), REDACTED.encode())
        return data

    def __repr__(self) -> str:
        return f"Redactor({len(self._forms)} forms)"

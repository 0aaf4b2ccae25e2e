"""The door of mjrelay.http."""

from mjrelay.http.exchange import Exchange, Headers, retry_after
from mjrelay.http.redaction import REDACTED, Redactor, keep_back, printable, redacted
from mjrelay.http.request import Credential, Request, segment, with_query
from mjrelay.http.strictjson import HalfPairError, NotJSONError, parse
from mjrelay.http.urls import (
    LOOPBACK,
    UNSENT,
    Address,
    Link,
    checked_url,
    expiry,
    join,
    locate,
    loopback,
    plain,
    public,
    shown,
)

__all__ = [
    "LOOPBACK",
    "REDACTED",
    "UNSENT",
    "Address",
    "Credential",
    "Exchange",
    "HalfPairError",
    "Headers",
    "Link",
    "NotJSONError",
    "Redactor",
    "Request",
    "checked_url",
    "expiry",
    "join",
    "keep_back",
    "locate",
    "loopback",
    "parse",
    "plain",
    "printable",
    "public",
    "redacted",
    "retry_after",
    "segment",
    "shown",
    "with_query",
]

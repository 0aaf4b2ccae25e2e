"""HTTP without I/O: requests, exchanges, URLs, strict JSON, decompression and redaction of secrets."""

from mjrelay.http.compression import CompressionError, Decompressor, TruncatedError, decompress
from mjrelay.http.exchange import OVERSIZE, Exchange, FailureKind, Headers, is_overloaded, retry_after
from mjrelay.http.multipart import FormPart, NotFormError, decode_form, encode_form, is_form
from mjrelay.http.redaction import REDACTED, Redactor, printable_text, redacted_text, set_redactor
from mjrelay.http.request import Credential, Request, path_segment, with_query
from mjrelay.http.strictjson import HalfPairError, NotJSONError, OversizeError, check_json_bounds, parse_json
from mjrelay.http.urls import (
    LOOPBACK,
    UNSENT,
    Address,
    MediaURL,
    checked_url,
    is_loopback_url,
    is_public_address,
    join_url,
    origin_and_target,
    plain_url,
    shown_url,
    url_expiry,
)
from mjrelay.http.webpage import is_challenge, is_web_page

__all__ = [
    "LOOPBACK",
    "OVERSIZE",
    "REDACTED",
    "UNSENT",
    "Address",
    "CompressionError",
    "Credential",
    "Decompressor",
    "Exchange",
    "FailureKind",
    "FormPart",
    "HalfPairError",
    "Headers",
    "MediaURL",
    "NotFormError",
    "NotJSONError",
    "OversizeError",
    "Redactor",
    "Request",
    "TruncatedError",
    "check_json_bounds",
    "checked_url",
    "decode_form",
    "decompress",
    "encode_form",
    "is_challenge",
    "is_form",
    "is_loopback_url",
    "is_overloaded",
    "is_public_address",
    "is_web_page",
    "join_url",
    "origin_and_target",
    "parse_json",
    "path_segment",
    "plain_url",
    "printable_text",
    "redacted_text",
    "retry_after",
    "set_redactor",
    "shown_url",
    "url_expiry",
    "with_query",
]

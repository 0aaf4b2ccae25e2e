"""Multipart forms: other parsers read them, and forms of other clients are read."""

from __future__ import annotations

import random
from email import message_from_bytes
from email.policy import HTTP

import httpx
import pytest

from mjrelay.http import FormPart, NotFormError, decode_form, encode_form, is_form

DATA = bytes(range(256)) + b"\r\n--mjrelay\r\n\r\n--"
PARTS = [
    FormPart("prompt", "a pig\r\nwith 帽子".encode()),
    FormPart('a "quoted"\r\nname; filename="x"', b""),
    FormPart("image", DATA, "image/png", 'a"b.png'),
    FormPart("image", b"\r\n", "image/jpeg", "2.jpeg"),
]


def test_a_form_is_read_as_it_was_written() -> None:
    """Names, file names, media types and every byte survive, for one part, several or none."""
    for parts in (PARTS, PARTS[:1], []):
        media_type, body = encode_form(parts)
        assert is_form(media_type)
        assert decode_form(media_type, body) == parts
        assert encode_form(parts) == (media_type, body), "the boundary is fixed"


def test_another_parser_reads_our_forms() -> None:
    """The standard library finds the same parts."""
    media_type, body = encode_form(PARTS[:1] + PARTS[3:])
    message = message_from_bytes(f"Content-Type: {media_type}\r\n\r\n".encode() + body, policy=HTTP)
    text, image = message.iter_parts()
    assert text.get_payload(decode=True) == PARTS[0].data
    assert (image.get_content_type(), image.get_filename()) == ("image/jpeg", "2.jpeg")
    assert image.get_param("name", header="content-disposition") == "image"


def test_forms_of_another_client_are_read() -> None:
    """A form of httpx has the same parts."""
    files = {"image": ("1.png", DATA, "image/png")}
    request = httpx.Request("POST", "http://relay.invalid", data={"prompt": "a pig"}, files=files)
    found = decode_form(request.headers["content-type"], request.read())
    assert found == [FormPart("prompt", b"a pig"), FormPart("image", DATA, "image/png", "1.png")]


def test_the_boundary_is_in_no_part() -> None:
    """Where a part contains the fixed boundary, another one is taken, also if it contains that one."""
    data = b""
    for _ in range(3):
        media_type, body = encode_form([FormPart("x", data, "image/png", "x")])
        boundary = media_type.partition("boundary=")[2].encode()
        assert boundary not in data
        assert decode_form(media_type, body)[0].data == data
        data += b"\r\n--" + boundary


def test_damaged_forms_are_refused() -> None:
    """A cut body, a wrong boundary or media type and a part without a name raise one error."""
    media_type, body = encode_form(PARTS)
    broken = [
        (media_type, body[:-8]),
        (media_type, b""),
        ("multipart/form-data", body),
        ("application/json; boundary=x", body),
        (media_type.replace("mjrelay", "other"), body),
        (media_type, body.replace(b"form-data; name", b"form-data; nam")),
        (media_type, body.replace(b'pig"\r\n\r\n', b'pig"')),
    ]
    for given in broken[:-1]:
        with pytest.raises(NotFormError):
            decode_form(*given)
    chance = random.Random(7)
    for _ in range(500):
        damaged = bytearray(body)
        for _ in range(chance.randrange(1, 9)):
            damaged[chance.randrange(len(damaged))] = chance.randrange(256)
        try:
            decode_form(media_type, bytes(damaged))
        except NotFormError:
            continue

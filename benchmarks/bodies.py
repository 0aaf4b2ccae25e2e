"""Hostile bodies: the CPU time and memory of each reader."""

from __future__ import annotations

import base64
import gzip
import io
import json
import time
import tracemalloc
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import httpx
from mjrelay_conformance.checks import select_checks
from mjrelay_conformance.judging import Kind, Observation, findings, schema_of
from mjrelay_conformance.replay.entries import Entry
from mjrelay_conformance.replay.files import read_traffic

from benchmarks.example import ID, KEY, RELAY, TARGET
from benchmarks.table import Row, at_most
from mjrelay import MjrelayError, Relay
from mjrelay.client.responses import ResponseReader
from mjrelay.contract import load_contract, relay_names
from mjrelay.doctor.observations import classify
from mjrelay.http import Exchange, Redactor
from mjrelay.monitor import Monitor
from mjrelay.transport import LARGEST_BATCH, LARGEST_BODY

if TYPE_CHECKING:
    from benchmarks.rounds import Effort

SECONDS, BYTES = 0.5, 100_000_000
FILE = "a recording"
"""A whole file may be larger than a body: up to five million values are decoded."""
JSON = (("Content-Type", "application/json"),)

Reader = Callable[[bytes], object]


def shapes(size: int) -> dict[str, bytes]:
    """Return bodies of about ``size`` bytes, by description."""

    def several(item: bytes, opening: bytes = b"[", closing: bytes = b"]") -> bytes:
        return opening + b",".join([item] * (size // (len(item) + 1))) + closing

    names = ",".join(f'"{number}":0' for number in range(size // 11)).encode()
    return {
        "empty objects": several(b"{}"),
        "numbers": several(b"1"),
        "short strings": several(b'""'),
        "distinct names": b"{" + names + b"}",
        "objects of one member": several(b'{"a":1}'),
        "one wide string": b'"' + b"a" * (size - 2) + b'"',
        "brackets in a string": b'"' + b"[{,:" * (size // 4 - 1) + b'"',
        "escapes": b'"' + b"\\n" * (size // 2 - 1) + b'"',
        "escaped quotes": b'"' + b'\\"' * (size // 2 - 1) + b'"',
        "deep lists": b"[" * size,
        "deep objects": b'{"a":' * (size // 5),
        "closing brackets": b"[" * 1000 + b"]" * (size - 1000),
        "one long number": b"1" * size,
        "long numbers": several(b"7" * 4300),
        "whitespace": b" " * (size - 2) + b"[]",
        "whitespace between values": several(b"0" + b" " * 100),
        "a string that breaks off": b'"' + b"a" * (size - 1),
        "a list that breaks off": several(b'"' + b"a" * 98 + b'"')[:-1],
    }


def readers(largest: int = LARGEST_BODY) -> dict[str, Reader]:
    """Return the readers of foreign bodies, by name. Each takes a body and may raise `MjrelayError`."""
    found = load_contract(RELAY)
    responses = ResponseReader(found, Redactor(KEY), found.credentials[0], largest)
    known, checks = [load_contract(name) for name in relay_names()], select_checks(())
    monitor = Monitor(RELAY, api_key=KEY, on_finding=lambda _: None)

    def exchange(body: bytes) -> Exchange:
        return Exchange("GET", f"https://relay.example{TARGET}", status=200, headers=JSON, body=body)

    def judge(body: bytes) -> object:
        one = Observation(
            contract=found,
            schema=schema_of(found),
            kind=Kind.KNOWN,
            task_id=ID,
            exchange=exchange(body),
            accepted=True,
            secrets=(KEY,),
        )
        return list(findings(one, checks))

    def watch(body: bytes) -> object:
        monitor(exchange(body), (ID,))
        return monitor.flush(60)

    return {
        "fetch": fetch,
        "a batch": lambda body: responses.tasks(exchange(body), [ID, "2"]),
        "a callback": responses.read,
        "the suite": judge,
        "the doctor": lambda body: classify(exchange(body), ID, known),
        "the monitor": watch,
        "a recorded body": lambda body: [
            judge(entry.exchange.body)
            for entry in read_traffic(io.BytesIO(_har(body)), "har")
            if isinstance(entry, Entry)
        ],
        FILE: lambda body: list(read_traffic(io.BytesIO(gzip.compress(body, 1)), "har")),
    }


def fetch(body: bytes) -> object:
    """Fetch a task whose response is this body, compressed."""
    packed = gzip.compress(body, 1)
    fields = [*JSON, ("Content-Encoding", "gzip")]

    def respond(_: httpx.Request) -> httpx.Response:
        return httpx.Response(200, headers=fields, stream=httpx.ByteStream(packed))

    with (
        httpx.Client(transport=httpx.MockTransport(respond)) as client,
        Relay(RELAY, KEY, base_url="http://127.0.0.1:9", client=client) as relay,
    ):
        return relay.fetch(ID)


def measure(_: Effort) -> list[Row]:
    """Return the most expensive body for each reader."""
    return list(_rows())


def _rows() -> Iterator[Row]:
    for size, names in ((LARGEST_BODY, None), (LARGEST_BATCH, ("a batch",))):
        kinds = shapes(size - 64)
        for name, reader in readers(size).items():
            if names is not None and name not in names:
                continue
            costs = {shape: cost(reader, body) for shape, body in kinds.items()}
            what = f"{name}, a hostile body of {size >> 20} MiB"
            for index, unit, bound, figure in (
                (0, "s", SECONDS, "CPU time"),
                (1, "B", BYTES, "memory"),
            ):
                worst = max(costs, key=lambda shape: costs[shape][index])
                yield Row(
                    what=f"{what}: {figure}",
                    ours=costs[worst][index],
                    unit=unit,
                    target=None if name == FILE else at_most(bound),
                    note=f"the most expensive of {len(costs)} shapes: {worst}",
                )


def cost(reader: Reader, body: bytes) -> tuple[float, float]:
    """Return seconds of CPU time, and the peak memory beyond the body in bytes (tracemalloc)."""
    started = time.process_time()
    _try(reader, body)
    seconds = time.process_time() - started
    tracemalloc.start()
    try:
        _try(reader, body)
        return seconds, float(tracemalloc.get_traced_memory()[1])
    finally:
        tracemalloc.stop()


def _try(reader: Reader, body: bytes) -> None:
    try:
        reader(body)
    except MjrelayError:
        return


def _har(body: bytes) -> bytes:
    content = {"text": base64.b64encode(body).decode(), "encoding": "base64", "size": len(body)}
    request = {"method": "GET", "url": f"https://relay.example{TARGET}", "headers": []}
    fields = [{"name": name, "value": value} for name, value in JSON]
    response = {"status": 200, "headers": fields, "content": content}
    return json.dumps({"log": {"entries": [{"request": request, "response": response}]}}).encode()

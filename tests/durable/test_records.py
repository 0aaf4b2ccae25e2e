"""Results of waits survive the database, whatever a relay returned and however long ids are."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from durable import Site, own_database, run, site
from hypothesis import given
from hypothesis import strategies as st

from mjrelay import Poll, Relay, SettingError, Task, WaitTimeoutError, errors
from mjrelay.durable.records import key_of, to_poll, to_record

if TYPE_CHECKING:
    from pathlib import Path

RELAY = Relay("newapi", "sk-any-key", base_url="https://relay.invalid")
# With NUL and the first half of a surrogate pair. JSON cannot tell two halves from their pair.
TEXTS = st.text(st.characters(exclude_categories=["Cs"]) | st.just("\ud800"))
NUMBERS = st.integers(-(10**300), 10**300) | st.floats(allow_nan=False)
DOCUMENTS = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
)
ERRORS = [
    kind
    for name in errors.__all__
    if isinstance(kind := getattr(errors, name), type)
    and issubclass(kind, errors.RelayError)
    and not issubclass(kind, errors.DownloadError | errors.SomeTasksError)  # those of other methods
]


@given(st.dictionaries(TEXTS, DOCUMENTS), TEXTS, st.sampled_from([*ERRORS, None]))
def test_a_result_survives_its_record(document: dict[str, Any], message: str, kind: Any) -> None:
    """Task, state, error and ticket are the same afterwards, and the record is ASCII."""
    task = Task(RELAY._contract, {"id": "1", "status": "SUCCESS", **document})
    error = None if kind is None else kind(message, relay="newapi", task_id="1")
    poll = Poll(task, error, RELAY.ticket("1"), done=True)
    record = to_record(RELAY, poll)
    assert record.isascii()
    assert "\0" not in record
    found = to_poll(RELAY, record)
    assert found.task is not None
    assert (found.ticket, found.done) == (poll.ticket, True)
    assert (found.task.document, found.task.state) == (task.document, task.state)
    assert (type(found.error), str(found.error)) == (type(error), str(error))


@pytest.mark.parametrize("key", ["sk-any-key", "1234", 'a"b\\c', "nabc"])
def test_a_repeated_key(key: str) -> None:
    """The key is in no text of a document or error; numbers, escapes and the ticket stay, and it is JSON."""
    relay = Relay("newapi", key, base_url="https://relay.invalid")
    document = {"id": "x", "status": "FAILURE", "failReason": f"{key}!", "n": 912345, "two": "\nabc"}
    task = Task(relay._contract, document | {"properties": {key: [key]}})
    error = errors.RelayError(f"no {key}", relay="newapi", task_id="x")
    found = to_poll(relay, to_record(relay, Poll(task, error, relay.ticket("id-1234"), done=True)))
    assert found.ticket.id == "id-1234"
    assert found.task is not None
    text = json.dumps(
        [found.task.document["failReason"], found.task.document["properties"], str(found.error)]
    )
    assert json.dumps(key)[1:-1] not in text
    assert found.task.document["n"] == 912345
    assert found.task.document["two"] == "\nabc"


IDS = st.text(min_size=1, max_size=150).filter(str.strip)


@given(IDS, IDS, st.sampled_from(["SUCCESS", "FAILURE", "MODAL", None]), st.sampled_from(["SUCCESS", None]))
def test_keys_are_unique(one: str, other: str, status: str | None, second: str | None) -> None:
    """Two results have the same key only if the task and its end are the same; a key is short and ASCII."""
    first, last = (ended(task_id, end) for task_id, end in ((one, status), (other, second)))
    same = (first.ticket.id, status) == (last.ticket.id, second)
    assert (key_of(first) == key_of(last)) is same
    assert key_of(first).isascii()
    assert len(key_of(first)) <= 160


def ended(task_id: str, status: str | None) -> Poll:
    """A result with a task, or with an error if there is no status."""
    contract, ticket = RELAY._contract, RELAY.ticket("1")
    ticket = type(ticket)("newapi", task_id.strip(), 0.0, 900.0, 0.0)
    if status is None:
        return Poll(None, WaitTimeoutError("late", relay="newapi", task_id=task_id), ticket, done=True)
    return Poll(Task(contract, {"id": task_id, "status": status}), None, ticket, done=True)


HOSTILE = {"a": "\0\ud800😀", "big": 10**900, "inf": float("inf"), "'": '"; DROP TABLE x; --'}


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
def test_hostile_documents_through_the_database(
    kind: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """NUL, half a surrogate pair, huge numbers and deep nesting come back; hostile ids are polled."""
    if kind == "sqlite":
        with site(tmp_path) as bench:
            hostile(bench)
    else:
        with own_database(request.getfixturevalue("postgres_url")) as url, site(tmp_path, url) as bench:
            hostile(bench)


def hostile(bench: Site) -> None:
    """Send hostile documents and ids through the database of a site."""
    nested: Any = []
    for _ in range(480):
        nested = [nested]
    polls = list[Poll]()
    queue = bench.queue(on_finish=polls.append)
    relay = queue.relays["main"]
    document = {"id": "a:b/c", "status": "SUCCESS", "progress": "100%", **HOSTILE, "nested": nested}
    queue.finish(Task(relay._contract, document))
    ids = ["x/../y?z=1#:%00", "n" * 10_000, "😀" * 1000, "'\"; DROP TABLE workflow_status", "nul\0"]
    for one in ids:
        bench.mock.submit(0, task_id=one)
    queue.add(ids)
    with pytest.raises(SettingError, match=r"the ticket has 120\d+ bytes"):
        queue.add(["😀" * 10_000])
    run(queue, lambda: len(polls) == 1 + len(ids))
    found = {poll.ticket.id: poll for poll in polls}
    assert found.keys() == {"a:b/c", *(one.strip() for one in ids)}
    task = found["a:b/c"].task
    assert task is not None
    assert task.document == document
    assert json.dumps(task.document) == json.dumps(document)
    assert all(found[one].error is None for one in ids)

"""What is wrong at a URL, in plain words, each with the next step."""

from __future__ import annotations

import ipaddress
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from attrs import frozen

from mjrelay.doctor.observations import LARGEST, Purpose, ResponseKind, document
from mjrelay.doctor.score import plausible
from mjrelay.http import is_loopback_url, is_public_address, retry_after, shown_url, url_expiry
from mjrelay.semantics import State, is_number, scalar_text

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mjrelay.contract import Contract
    from mjrelay.doctor.observations import Attempt, Observations


_STUCK = timedelta(hours=1)
"""The age at which a task that is not done will not be: servers give it up then."""

_UNITS = {"seconds": 1, "milliseconds": 1_000, "microseconds": 1_000_000}
_FORMATS = {"s": "seconds", "ms": "milliseconds", "us": "microseconds"}

_QUOTED = 200
_SHOWN = 3
"""Links of one kind that are told."""


@frozen
class Problem:
    """
    Something that is wrong, or, as a note, only good to know.

    ``name`` is stable, ``what`` says what was seen, and ``then`` what to do next.
    """

    name: str
    what: str
    then: str
    wrong: bool = True


def complaints(
    evidence: Observations, contract: Contract | None, now: datetime | None = None
) -> list[Problem]:
    """What is wrong in what came, read by the contract that fits it; what weighs most first."""
    moment = now or datetime.now(UTC)
    found = [*_of_way(evidence), *_of_path(evidence), *_of_key(evidence)]
    if contract is not None:
        found += _of_answers(evidence, contract)
        seen = evidence.task
        if seen is not None:
            found += _of_task(seen, contract, moment)
            found += _of_links(evidence.origin, seen, contract, moment)
    unique = {(one.name, one.what): one for one in found}
    return sorted(unique.values(), key=lambda one: not one.wrong)


# The way to the relay.


def _of_way(evidence: Observations) -> Iterator[Problem]:
    if evidence.keyed and evidence.origin.startswith("http:") and not is_loopback_url(evidence.origin):
        yield Problem(
            "plain-http",
            "The URL begins with http://, so the key goes over the network unencrypted.",
            "Write https://, and have the key replaced if it was in use.",
            wrong=False,
        )
    for seen in evidence.observations:
        yield from _silence(seen)
        if seen.outcome is ResponseKind.LIMITED:
            seconds = retry_after(seen.exchange)
            after = "some minutes" if seconds is None else f"{seconds:.0f} seconds"
            yield Problem(
                "rate-limited",
                f"The relay answers 429, too many requests{_message(seen)}; nothing more was asked.",
                f"Wait {after}, then try again; have programs ask less often.",
            )
        elif seen.outcome is ResponseKind.CHALLENGE:
            yield Problem(
                "challenge",
                f"A web page that wants to see a browser came with status {seen.exchange.status}: something "
                "before the relay keeps programs out.",
                "Ask the relay's operator for a host without it, or to let your address pass.",
            )
        elif seen.outcome is ResponseKind.UNAVAILABLE and _counts(evidence, seen):
            ended = "; nothing more was asked" if seen.unserved else ""
            yield Problem(
                "unavailable",
                f"The relay, or what stands before it, answers {seen.exchange.status}: it is in trouble"
                f"{_message(seen)}{ended}.",
                "Try again later; where it stays, tell the relay's operator.",
            )


def _message(seen: Attempt) -> str:
    """The relay's own message in brackets; nothing for a web page."""
    body = seen.exchange.body[:LARGEST].decode("utf-8", "replace")
    if "html" in seen.exchange.media_type or body.lstrip().startswith("<") or not body.strip():
        return ""
    return f" ({_quoted(' '.join(body.split()))})"


_SILENCES = (
    (
        ("certificate", "ssl", "tls"),
        "tls",
        "Check that the host's name is right and that it speaks https; its operator renews certificates.",
    ),
    (("refused",), "refused", "Check the port, and whether the server runs."),
    (
        ("name", "resolve", "getaddrinfo", "no address", "nodename"),
        "dns",
        "Check the spelling of the host, and that its name is still registered.",
    ),
    (("second", "time", "too long"), "timeout", "Try again later, or give it longer with --timeout."),
)


def _silence(seen: Attempt) -> Iterator[Problem]:
    failure = seen.exchange.failure
    if failure is None:
        return
    if seen.outcome is not ResponseKind.SILENT:
        yield Problem(
            "broken-off",
            f"An answer with status {seen.exchange.status} came, but not to its end: {failure}.",
            "Try again later; where it stays, something between you and the relay cuts answers off.",
        )
        return
    said = (
        failure.partition("(")[2] or failure
    ).lower()  # before that stands the host, whose name may mislead
    for words, name, then in _SILENCES:
        if any(word in said for word in words):
            yield Problem(name, f"No answer came: {failure}.", then)
            return
    yield Problem("unreachable", f"No answer came: {failure}.", "Check the URL, and try again later.")


# The path.


def _of_path(evidence: Observations) -> Iterator[Problem]:
    elsewhere = ""
    if evidence.endpoint is not None:
        elsewhere = f"JSON is found under {evidence.origin}{evidence.endpoint}"
    there = evidence.endpoint is not None and str(evidence.endpoint).startswith(evidence.pasted)
    for seen in evidence.observations[:1]:
        if not there:
            yield from _misled(seen, elsewhere)
    for seen in evidence.observations:
        if seen.outcome is ResponseKind.REDIRECT and _counts(evidence, seen):
            yield _redirected(evidence, seen)
        elif (
            seen.outcome is ResponseKind.GARBLED and seen.exchange.failure is None and _counts(evidence, seen)
        ):
            yield _garbled(seen)


def _counts(evidence: Observations, seen: Attempt) -> bool:
    """Whether an answer says something of the relay: at its endpoint, as pasted, or where none was found."""
    if seen.purpose in {Purpose.NOWHERE, Purpose.BATCH}:
        return False
    pasted = seen is evidence.observations[0]
    return evidence.endpoint is None or seen.endpoint == evidence.endpoint or pasted


def _misled(seen: Attempt, elsewhere: str) -> Iterator[Problem]:
    at = f"{seen.exchange.status} at {seen.endpoint}"
    then = "Use the base URL below." if elsewhere else "Check host and path with the relay's page."
    found = f" {elsewhere}." if elsewhere else " None of the other paths that were tried gave a task either."
    if seen.outcome is ResponseKind.PAGE:
        what = f"A web page came ({at}), not JSON: the base URL has a wrong prefix, or lacks one.{found}"
        yield Problem("web-page", what, then)
    elif seen.outcome is ResponseKind.ABSENT:
        kind = "JSON" if document(seen.exchange) is not None else "nothing of use"
        what = f"There is nothing at this path ({at}, with {kind} in it), as gateways answer.{found}"
        yield Problem("wrong-path", what, then)


def _redirected(evidence: Observations, seen: Attempt) -> Problem:
    target = seen.exchange.header("location") or "nowhere"
    asked = f"{evidence.origin}{seen.endpoint.request(seen.task_id).target}"
    absolute = f"{evidence.origin}{target}" if target.startswith("/") else target
    if absolute.rstrip("/") == asked.rstrip("/"):
        return Problem(
            "trailing-slash",
            f"The relay redirects ({seen.exchange.status}) to the same path with another end: a closing "
            "slash is one too many, or is missing.",
            "Take the base URL below as it is; programs that do not follow redirects find nothing.",
        )
    return Problem(
        "redirect",
        f"The relay redirects ({seen.exchange.status}) to {_quoted(shown_url(absolute))}; "
        "that was not followed.",
        "If that place is the relay's, examine it instead: a key is not to be carried there unasked.",
    )


def _garbled(seen: Attempt) -> Problem:
    size = len(seen.exchange.body)
    why = f"{size} bytes, more than is looked into" if size > LARGEST else f"{size} bytes that are no JSON"
    said = seen.exchange.media_type or "without a media type"
    return Problem(
        "no-json",
        f"The answer ({seen.exchange.status}, {_quoted(said)}) is {why}.",
        "Check host and path; where they are right, the relay is broken: tell its operator.",
    )


# The key.


def _of_key(evidence: Observations) -> Iterator[Problem]:
    seen = [one for one in evidence.observations if one.endpoint == evidence.endpoint]
    asked = [one for one in seen if one.way is not None or not evidence.keyed]
    refused = [one for one in asked if one.refuses]
    tried = ", ".join(str(one.way) for one in refused if one.way is not None)
    untried = ", ".join(map(str, evidence.ways))
    if any(one.outcome is ResponseKind.FORBIDDEN and one.way is not None for one in seen):
        yield Problem(
            "forbidden",
            "The relay knows the key, but refuses to let it fetch tasks (403). Keys that are limited to "
            "models, addresses or channels are refused so, though fetching uses no model.",
            "Use a key without such limits, or have them lifted where keys are managed.",
        )
    elif refused and not evidence.keyed:
        yield Problem(
            "no-key",
            f"The relay wants a key ({refused[0].exchange.status}), and none was given.",
            f"Set MJRELAY_API_KEY or give --key-file; it is likely sent as {untried}.",
        )
    elif refused and evidence.way is None:
        others = f" Not tried: {untried}." if untried else ""
        yield Problem(
            "key-refused",
            f"The key was refused wherever it was sent: {tried}.{others}",
            "Check that the key is whole, belongs to this relay, and is neither expired nor used up.",
        )
    elif refused and tried:
        yield Problem(
            "wrong-header",
            f"The key is refused in {tried}, and accepted in {evidence.way}.",
            f"Have programs send it as {evidence.way}.",
            wrong=False,
        )
    if evidence.open and evidence.keyed:
        yield Problem(
            "open",
            "Whoever asks without a key is served too, so it is not known whether this key is looked at.",
            "Mind that everybody who has a task's id can see the task.",
            wrong=False,
        )


# The answers.


def _of_answers(evidence: Observations, contract: Contract) -> Iterator[Problem]:
    endpoint = evidence.endpoint
    if endpoint is not None and endpoint.before(contract) is None:
        yield Problem(
            "own-path",
            f"No contract's path ends like {endpoint}, though the answers are like those of {contract.name}.",
            "Write a contract of its own, with this path.",
        )
    asked = [one for one in evidence.of(Purpose.TASK) if one.outcome is not ResponseKind.REFUSED]
    last = asked[-1] if asked else None
    gone = {ResponseKind.MISSING, ResponseKind.EMPTY, ResponseKind.ABSENT, ResponseKind.DOCUMENT}
    if last is not None and last.outcome in gone and evidence.task is None:
        said = ": ".join(filter(None, contract.reader.error(document(last.exchange))))
        yield Problem(
            "unknown-task",
            f"The relay has no such task ({last.exchange.status}{f', {_quoted(said)}' if said else ''}).",
            "Check the id, and that the key is that of whoever submitted it; relays forget tasks after a "
            "while, and some whenever they are started anew.",
        )
    missing = evidence.missing
    if missing is not None and not missing.exchange.body.strip() and (missing.exchange.status or 0) < 300:
        yield Problem(
            "empty-missing",
            f"An id that is not there is answered with {missing.exchange.status} and no body.",
            "Programs that read every such answer as JSON fail there; mjrelay raises EmptyAnswerError or "
            "MissingTaskError.",
            wrong=False,
        )


def _of_task(seen: Attempt, contract: Contract, now: datetime) -> Iterator[Problem]:
    found, reader = document(seen.exchange), contract.reader
    state, asked = reader.state(found), reader.id(found)
    if scalar_text(asked) != seen.task_id:
        yield Problem(
            "wrong-task",
            f"Asked for task {_quoted(seen.task_id)}, the relay shows {_quoted(str(asked))}.",
            "Use nothing of it, and tell the relay's operator: it may be somebody else's.",
        )
    elif not isinstance(asked, str):
        yield Problem(
            "number-id",
            "The id is a JSON number, not text.",
            "Programs that read numbers as floating point lose its last digits; keep it as text.",
            wrong=False,
        )
    yield from _of_times(found, contract, now)
    yield from _of_state(found, contract, state)
    submitted = None if reader.submitted is None else reader.submitted.read(found)
    if not state.terminal and submitted is not None and plausible(submitted, now):
        age = now - submitted
        if age > _STUCK:
            progress = reader.progress(found)
            at = "" if progress is None else f" at {progress} %"
            yield Problem(
                "stuck",
                f"The task was submitted {_age(age)} ago and is still {state.value}{at}.",
                "It will hardly end any more: submit it again, and tell the relay's operator, for it may be "
                "done at Midjourney.",
            )


def _of_state(found: Any, contract: Contract, state: State) -> Iterator[Problem]:
    reader = contract.reader
    if state is State.UNKNOWN:
        yield Problem(
            "unknown-status",
            f"The status {_quoted(repr(reader.status(found)))} is no word that the contract knows.",
            "mjrelay waits on until its deadline; what it means, the relay's page may say.",
        )
    made = reader.images(found) or reader.videos(found)
    if state is State.SUCCEEDED and not made and reader.completes("media", found):
        yield Problem(
            "no-media",
            "The task has succeeded, but its answer holds no link to an image or a video.",
            "Older servers leave out links to videos: have the relay's operator update it.",
        )
    if state is State.FAILED:
        reason = reader.failure(found)
        drawn = " A picture of it is there all the same, perhaps the whole of it." if made else ""
        why = f": {_quoted(reason)}" if reason else ", without a reason"
        yield Problem(
            "failed", f"The task has failed{why}.{drawn}", "Submit it again, or try another one.", wrong=False
        )
    path = reader.progress_path
    written = None if path is None else path.first(found)
    if written not in (None, "") and reader.percent(found) is None:
        yield Problem(
            "odd-progress",
            f"The progress {_quoted(repr(written))} is no number.",
            "Programs that take it for one fail; mjrelay has None there.",
            wrong=False,
        )


def _of_times(found: Any, contract: Contract, now: datetime) -> Iterator[Problem]:
    """Times in another unit than the contract's, as the only unit tells in which they make sense."""
    form = contract.operation["x-mj-task"].get("times", {}).get("format")
    stamps = (contract.reader.submitted, contract.reader.started, contract.reader.finished)
    for stamp in stamps:
        raw = None if stamp is None else stamp.raw(found)
        if form not in _FORMATS or not is_number(raw):
            continue
        fitting = [
            unit
            for unit, per_second in _UNITS.items()
            if 0 < raw / per_second < 1e11 and plausible(datetime.fromtimestamp(raw / per_second, UTC), now)
        ]
        if fitting and _FORMATS[form] not in fitting:
            yield Problem(
                f"{fitting[0]}-for-{_FORMATS[form]}",
                f"Times are in {fitting[0]}, and programs of this family expect {_FORMATS[form]}.",
                "Read by this contract they are wrong by a factor of 1,000 or more; change its times.format "
                "by an overlay.",
            )
            return


def _of_links(origin: str, seen: Attempt, contract: Contract, now: datetime) -> Iterator[Problem]:
    reader, found = contract.reader, document(seen.exchange)
    links = [*reader.images(found), *reader.videos(found)]
    local = [url for url in links if _local(url) and _origin(url) != origin]
    dead = [(url, end) for url in links if (end := url_expiry(url)) is not None and end < now.timestamp()]
    if local:
        yield Problem(
            "local-links",
            f"Links lead to a machine that only the relay can see: {', '.join(map(_link, local[:_SHOWN]))}.",
            "The relay's operator never set the address at which it is reached, and should; until then put "
            "the relay's own host in its place.",
        )
    if dead:
        ended = datetime.fromtimestamp(dead[0][1], UTC)
        yield Problem(
            "expired-links",
            f"Links are signed until {ended:%Y-%m-%d %H:%M} UTC, which is over: {_link(dead[0][0])}.",
            "Download files as soon as a task is done; fetching an old task again gives new links only where "
            "the relay signs anew.",
        )


def _local(url: str) -> bool:
    host = (_parts(url)[1] or "").rstrip(".")
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return not is_public_address(ipaddress.ip_address(host))
    except ValueError:
        return False


def _origin(url: str) -> str:
    scheme, _, netloc = _parts(url)
    return f"{scheme}://{netloc}"


def _parts(url: str) -> tuple[str, str | None, str]:
    try:
        parts = urlsplit(url)
    except ValueError:
        return "", None, ""
    return parts.scheme, parts.hostname, parts.netloc


def _link(url: str) -> str:
    return _quoted(shown_url(url))


def _quoted(foreign: str) -> str:
    return foreign if len(foreign) <= _QUOTED else f"{foreign[:_QUOTED]}…"


def _age(age: timedelta) -> str:
    hours = int(age.total_seconds() // 3600)
    return f"{hours} hours" if hours < 48 else f"{hours // 24} days"

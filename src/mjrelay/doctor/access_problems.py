"""Problems of the connection, the path and the key."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mjrelay.doctor.observations import Purpose, ResponseKind, document
from mjrelay.doctor.problem import Problem, quoted_message, shorten
from mjrelay.http import is_loopback_url, retry_after, shown_url

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mjrelay.contract import Contract
    from mjrelay.doctor.observations import Attempt, Observations


CONNECTION_FAILURES = (
    (
        ("certificate", "ssl", "tls"),
        "tls",
        "Check the host name and that the host supports HTTPS; its operator renews certificates.",
    ),
    (("refused",), "refused", "Check the port, and that the server is running."),
    (
        ("name", "resolve", "getaddrinfo", "no address", "nodename"),
        "dns",
        "Check the spelling of the host, and that its name is still registered.",
    ),
    (("second", "time", "too long"), "timeout", "Try again later, or set a longer --timeout."),
)
"""Words in a failure, the name of the problem, and the next step. The first match applies."""


def access_problems(observations: Observations, contract: Contract | None) -> Iterator[Problem]:
    """Yield the problems that need no contract to be recognised. It reads the messages of errors."""
    yield from _connection_problems(observations, contract)
    yield from _path_problems(observations, contract)
    yield from _key_problems(observations, contract)


def _connection_problems(observations: Observations, contract: Contract | None) -> Iterator[Problem]:
    origin = observations.origin
    if observations.keyed and origin.startswith("http:") and not is_loopback_url(origin):
        yield Problem(
            "plain-http",
            "The URL begins with http://, so the key is sent unencrypted.",
            "Use https://. If the key was in use, replace it.",
            wrong=False,
        )
    for attempt in observations.attempts:
        if attempt.exchange.failure is not None:
            yield _failure(attempt, attempt.exchange.failure)
        status, message = attempt.exchange.status, _message(attempt, contract)
        if attempt.kind is ResponseKind.LIMITED:
            seconds = retry_after(attempt.exchange)
            delay = "some minutes" if seconds is None else f"{seconds:.0f} seconds"
            yield Problem(
                "rate-limited",
                f"The relay returns 429, too many requests{message}; the examination stopped.",
                f"Wait {delay}, then try again; reduce the request rate of your programs.",
            )
        elif attempt.kind is ResponseKind.CHALLENGE:
            yield Problem(
                "challenge",
                f"A browser challenge, or a login page, came with status {status}: a proxy blocks programs.",
                "Ask the relay's operator for a host without it, or to allow your address.",
            )
        elif attempt.kind is ResponseKind.UNAVAILABLE and _is_relevant(observations, attempt):
            stopped = "; the examination stopped" if attempt.ends_examination else ""
            yield Problem(
                "unavailable",
                f"The relay, or a proxy in front of it, returns {status}{message}{stopped}.",
                "Try again later; if it persists, report it to the relay's operator.",
            )


def _message(attempt: Attempt, contract: Contract | None) -> str:
    """Return the relay's message in brackets, or an empty string without one."""
    message = quoted_message(attempt.exchange, contract)
    return f" ({message})" if message else ""


def _failure(attempt: Attempt, failure: str) -> Problem:
    if attempt.kind is not ResponseKind.NO_RESPONSE:
        if attempt.exchange.oversize:
            return _not_json(attempt)
        return Problem(
            "broken-off",
            f"The response with status {attempt.exchange.status} is incomplete: {failure}.",
            "Try again later; if it persists, a proxy between you and the relay truncates responses.",
        )
    if failure.startswith("the proxy "):
        return Problem("proxy", f"No response: {failure}.", "Check the proxy, or set NO_PROXY for this host.")
    # The text before the bracket names the host, which may contain one of the words.
    reason = (failure.partition("(")[2] or failure).lower()
    for words, name, then in CONNECTION_FAILURES:
        if any(word in reason for word in words):
            return Problem(name, f"No response: {failure}.", then)
    return Problem("unreachable", f"No response: {failure}.", "Check the URL, and try again later.")


def _path_problems(observations: Observations, contract: Contract | None) -> Iterator[Problem]:
    endpoint = observations.endpoint
    if endpoint is None or not str(endpoint).startswith(observations.pasted):
        for attempt in observations.attempts[:1]:
            yield from _wrong_path(observations, attempt, contract)
    for attempt in observations.attempts:
        if not _is_relevant(observations, attempt):
            continue
        if attempt.kind is ResponseKind.REDIRECT:
            yield _redirect(observations, attempt)
        elif attempt.kind is ResponseKind.GARBLED and attempt.exchange.failure is None:
            yield _not_json(attempt)


def _is_relevant(observations: Observations, attempt: Attempt) -> bool:
    """Return whether a response concerns the relay: at its endpoint, as pasted, or if none was found."""
    if attempt.purpose in {Purpose.NOWHERE, Purpose.BATCH}:
        return False
    pasted = attempt is observations.attempts[0]
    return observations.endpoint is None or attempt.endpoint == observations.endpoint or pasted


def _wrong_path(observations: Observations, attempt: Attempt, contract: Contract | None) -> Iterator[Problem]:
    """Yield a problem if the first response shows that the pasted path is not the relay's."""
    place = f"{attempt.exchange.status} at {attempt.endpoint}"
    if observations.endpoint is None:
        result = "No other path that was tried returned a task."
        then = "Check host and path in the relay's documentation."
    else:
        result = f"JSON was found at {observations.origin}{observations.endpoint}."
        then = "Use the base URL below."
    if attempt.kind is ResponseKind.PAGE:
        what = f"A web page came instead of JSON ({place}): the base URL has a wrong prefix, or lacks one."
        yield Problem("web-page", f"{what} {result}", then)
    elif attempt.kind is ResponseKind.ABSENT:
        content = "JSON" if document(attempt.exchange) is not None else "no JSON"
        what = f"The path does not exist ({place}, {content}{_colon(attempt, contract)})."
        yield Problem("wrong-path", f"{what} {result}", then)
    elif observations.endpoint is not None and attempt.kind in {ResponseKind.DOCUMENT, ResponseKind.EMPTY}:
        what = f"The prefix of the path is wrong ({place}{_colon(attempt, contract)})."
        yield Problem("wrong-path", f"{what} {result}", then)


def _colon(attempt: Attempt, contract: Contract | None) -> str:
    message = quoted_message(attempt.exchange, contract)
    return f": {message}" if message else ""


def _redirect(observations: Observations, attempt: Attempt) -> Problem:
    target = attempt.exchange.header("location") or "nowhere"
    requested = f"{observations.origin}{attempt.endpoint.request(attempt.task_id).target}"
    absolute = f"{observations.origin}{target}" if target.startswith("/") else target
    status = attempt.exchange.status
    if absolute.rstrip("/") == requested.rstrip("/"):
        return Problem(
            "trailing-slash",
            f"The relay redirects ({status}) to the same path with or without a trailing slash.",
            "Use the base URL below exactly; clients that do not follow redirects fail.",
        )
    return Problem(
        "redirect",
        f"The relay redirects ({status}) to {shorten(shown_url(absolute))}; the redirect was not followed.",
        "If the target belongs to the relay, examine it instead; the key is never sent there automatically.",
    )


def _not_json(attempt: Attempt) -> Problem:
    too_large = attempt.exchange.failure  # an incomplete response is another problem
    reason = too_large or f"{len(attempt.exchange.body)} bytes that are not JSON"
    media_type = attempt.exchange.media_type or "no media type"
    return Problem(
        "no-json",
        f"The response ({attempt.exchange.status}, {shorten(media_type)}) is {reason}.",
        "Check host and path; if they are right, report it to the relay's operator.",
    )


def _key_problems(observations: Observations, contract: Contract | None) -> Iterator[Problem]:
    attempts = [one for one in observations.attempts if one.endpoint == observations.endpoint]
    authenticated = [one for one in attempts if one.credential is not None or not observations.keyed]
    refused = [one for one in authenticated if one.refuses]
    tried = ", ".join(str(one.credential) for one in refused if one.credential is not None)
    untried = ", ".join(map(str, observations.untried))
    forbidden = observations.forbidden
    if forbidden is not None and forbidden in attempts:
        yield Problem(
            "forbidden",
            "The relay accepts the key but forbids fetching tasks "
            f"({forbidden.exchange.status}{_colon(forbidden, contract)}).",
            "Use a key that is not restricted to models, addresses or channels, or remove the restriction in "
            "the relay's key settings: it applies to fetching too.",
        )
    elif refused and not observations.keyed:
        reason = f"{refused[0].exchange.status}{_colon(refused[0], contract)}"
        yield Problem(
            "no-key",
            f"The relay requires a key ({reason}), and none was given.",
            f"Set MJRELAY_API_KEY or use --key-file; it is probably sent as {untried}.",
        )
    elif refused and observations.credential is None:
        others = f" Not tried: {untried}." if untried else ""
        reason = f"{refused[-1].exchange.status}{_colon(refused[-1], contract)}"
        yield Problem(
            "key-refused",
            f"The key was refused in: {tried} ({reason}).{others}",
            "Check that the key is complete, belongs to this relay, and is neither expired nor used up.",
        )
    elif refused and tried:
        yield Problem(
            "wrong-header",
            f"The key is refused in {tried}, and accepted in {observations.credential}.",
            f"Send it as {observations.credential}.",
            wrong=False,
        )
    if observations.open and observations.keyed:
        yield Problem(
            "open",
            "The relay also serves requests without a key, so it is unknown whether it checks this key.",
            "Keep task ids secret: everyone who has one can read the task.",
            wrong=False,
        )

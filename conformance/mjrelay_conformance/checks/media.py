"""Checks of a task's media: they are complete, can be fetched, and agree with the other parts of the task."""

from __future__ import annotations

import re
from collections import Counter
from datetime import UTC, datetime
from itertools import chain
from typing import TYPE_CHECKING

from mjrelay.http import shown_url
from mjrelay.semantics import State
from mjrelay_conformance.checks.helpers import extension
from mjrelay_conformance.checks.links import absolute, known_expiry, unreachable
from mjrelay_conformance.checks.schema import status_word
from mjrelay_conformance.checks.task import NOT_REQUIRED, completes, id_, order, succeeded_finished
from mjrelay_conformance.judging import (
    PASSED,
    Judgement,
    Kind,
    Level,
    Observation,
    define_check,
    failed,
    not_applicable,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


_ID = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}|[0-9]{12,}")
"""What URLs contain as the id of a task or a job."""
_INDEX = re.compile(r"[0-9]{1,2}")
"""A number that counts as a position in a list, and not as an id or a date."""


@define_check(
    "fetch/200/succeeded/media",
    Level.MUST,
    on=[Kind.KNOWN],
    needs=[status_word],
    clause=extension("complete", "media"),
)
def succeeded_media(o: Observation) -> Judgement:
    """
    A succeeded task has at least one absolute URL of an image or a video.

    The media are what the caller paid for. Relays mark a task as done before the upload is, or return a path
    that only their own pages can resolve.
    """
    if not completes(o, "media"):
        return not_applicable(NOT_REQUIRED)
    if any(absolute(url) for url in o.media):
        return PASSED
    return failed("an absolute URL", o.show(", ".join(o.media)) if o.media else "none")


@define_check(
    "fetch/200/media-url",
    Level.SHOULD,
    on=[Kind.KNOWN],
    needs=[succeeded_media],
    clause=extension("images"),
)
def media_url(o: Observation) -> Judgement:
    """
    The media URLs of a succeeded task use https and a publicly reachable host.

    A URL on the relay's own machine fails everywhere else, and browsers block http media on https pages.
    Relays without a configured public address return URLs on localhost.
    """
    if o.state is not State.SUCCEEDED or not o.media:
        return not_applicable("the task has not succeeded, or has no media")
    for url in o.media:
        wrong = unreachable(url, o.exchange.url)
        if wrong is not None:
            return failed("an https URL on a public host", f"{o.show(shown_url(url))}: {wrong}")
    return PASSED


@define_check(
    "fetch/200/media-expired",
    Level.SHOULD,
    on=[Kind.KNOWN],
    needs=[order],
    clause=extension("images"),
)
def media_expired(o: Observation) -> Judgement:
    """
    A signed URL is valid at the time the task ends.

    A URL that is expired from the start can never be fetched. That the URL of an old task has expired since
    is no finding. Relays copy URLs that were signed for another task, or sign in local time.
    """
    moments = [moment for _, moment in o.times.values() if moment is not None]
    media = o.media if o.state is State.SUCCEEDED else ()
    signed = [(url, until) for url in media if (until := known_expiry(url)) is not None]
    if not moments or not signed:
        return not_applicable("the task has not succeeded, or its URLs have no expiry")
    issued = moments[-1].timestamp()  # the finish time, or the latest known one
    for url, until in signed:
        if until <= issued:
            return failed(
                f"a URL that is valid beyond {_utc(issued)}",
                f"{o.show(shown_url(url))} expires {_utc(until)}",
            )
    return PASSED


@define_check(
    "fetch/200/media-list",
    Level.INFO,
    on=[Kind.KNOWN],
    needs=[succeeded_media],
    clause=extension("images"),
)
def media_list(o: Observation) -> Judgement:
    """
    A list of media has each file once, in order, and all of them from one job.

    Clients show the files in this order and name them by their position. Relays mix the lists of two jobs, or
    return them in the order in which the uploads end.
    """
    if o.state is not State.SUCCEEDED:
        return not_applicable("the task has not succeeded")
    media = [*o.reader.image_media, *o.reader.video_media]
    found = [[url.partition("?")[0] for url in one.urls(o.task)] for one in media]
    lists = [urls for urls in found if len(urls) > 1]
    for urls in lists:
        first = [one[0] for one in found if len(one) == 1]
        for expected, actual in _contradictions(urls, first):
            return failed(expected, o.show(actual))
    return PASSED if lists else not_applicable("the task has no list of media")


def _contradictions(urls: Sequence[str], single: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Yield what a list of URLs contradicts, and how; ``single`` are the URLs of other fields."""
    listed = ", ".join(urls)
    if len({*urls}) < len(urls):
        yield "each file once", listed
    if any(url in urls[1:] for url in single):
        yield "the file of the other field first", listed
    positions = _positions(urls)
    if positions and positions != [*range(positions[0], positions[0] + len(urls))]:
        yield "consecutive numbers in the file names", listed
    counts = Counter(chain.from_iterable({*_ID.findall(url)} for url in urls))
    shared, times = counts.most_common(1)[0] if counts else ("", len(urls))
    if 1 < times < len(urls):
        yield f"the id {shared} in each URL", ", ".join(url for url in urls if shared not in url)


def _positions(urls: Sequence[str]) -> list[int]:
    """Return the numbers in which URLs differ, if they differ in one small number only."""
    parts = [re.split(r"([0-9]+)", url) for url in urls]
    if len({len(part) for part in parts}) != 1:
        return []
    differing = [column for column in zip(*parts, strict=True) if len({*column}) > 1]
    if len(differing) != 1 or not all(_INDEX.fullmatch(text) for text in differing[0]):
        return []
    return [int(text) for text in differing[0]]


@define_check(
    "fetch/200/relations",
    Level.INFO,
    on=[Kind.KNOWN],
    needs=[id_, order, succeeded_finished, succeeded_media, media_expired],
    clause=extension("relations"),
)
def relations(o: Observation) -> Judgement:
    """
    The fields of a succeeded task satisfy the relations that the contract defines.

    Contradicting fields come from different tasks or times. Relays mix them when they rewrite URLs, or fill a
    task from two sources.
    """
    if o.state is not State.SUCCEEDED:
        return not_applicable("the task has not succeeded")
    for index, relation in enumerate(o.reader.relations):
        breach = relation.breach(o.task)
        if breach is not None:
            left, right = breach
            return failed(
                f"{relation.id}: {relation.description}",
                f"{o.show(left)} and {o.show(right)}",
                level=Level(relation.level),
                clause=o.contract.clause(*o.contract.location, "x-mj-task", "relations", index),
            )
    if any(relation.applies(o.task) for relation in o.reader.relations):
        return PASSED
    return not_applicable("no relation has both sides in this task")


CHECKS = (succeeded_media, media_url, media_expired, media_list, relations)


def _utc(moment: float) -> str:
    try:
        return f"{datetime.fromtimestamp(moment, UTC):%Y-%m-%d %H:%M:%S} UTC"
    except (ValueError, OverflowError, OSError):
        return f"{moment:.0f} in Unix time"

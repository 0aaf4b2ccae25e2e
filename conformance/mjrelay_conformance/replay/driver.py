"""Judges recorded traffic, without a single request."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from attrs import define, evolve, field, frozen

from mjrelay.contract import checked_key, known_key, load_contract, read_key
from mjrelay.http import Exchange, Redactor, checked_url
from mjrelay_conformance.checks import CHECKS, select_checks
from mjrelay_conformance.drivers import Judge, KnownTask, SuiteOptions, command_line, results_file
from mjrelay_conformance.judging import Baseline, Kind, Observation, Record, schema_of
from mjrelay_conformance.replay.entries import UNRECORDED
from mjrelay_conformance.replay.files import TrafficError
from mjrelay_conformance.replay.recording import TOLD, Recording, name_of
from mjrelay_conformance.replay.secrets import without_secrets

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from mjrelay.semantics import Matcher, Reader, State
    from mjrelay_conformance.replay.recording import RecordedCall


@frozen
class ReplayOptions(SuiteOptions):
    """The options of ``mjrelay replay``; its help describes them."""

    relay: str
    file: str


def replay_traffic(options: ReplayOptions, tell: Callable[[str], None]) -> tuple[int, Record]:
    """
    The exit code and the record of a replay; what of the recording is not judged goes to ``tell``.

    Raises `TrafficError` where the recording cannot be read or holds nothing that can be judged.
    """
    chosen = select_checks(options.globs, options.excluded)
    contract = load_contract(options.relay, options.overlays)
    baseline = Baseline() if options.baseline is None else Baseline.load(options.baseline, CHECKS)
    base_url = None if options.base_url is None else checked_url(options.base_url)
    known = {task.task_id: task.state for task in map(KnownTask.parse, options.tasks)}
    own = read_key(options.key_file) if options.key_file else known_key(contract.name)
    keys = () if own is None else (checked_key(own),)
    path = results_file(options.report_dir)

    recording = Recording.load(options.file, contract, base_url, keys)
    calls, redactor = recording.calls, recording.redactor
    proof = Proof.of(calls, contract.reader, known, everywhere=base_url is not None)
    for call in calls:
        proof.place(call)
    for line in (*recording.told, *_unjudged(calls)):
        tell(redactor.text(line))
    judged = [call for call in calls if call.reason is None]
    if not judged:
        raise TrafficError(
            f"{name_of(options.file)}: {contract.name} is asked {len(calls)} times, and no answer can be "
            "judged; name a task that is there with --task ID, or record the bodies of answers too"
        )

    # In memory until the end: nothing is lost that could not be replayed, and much is not written often.
    record = Record(
        None,
        redactor,
        _said(options),
        redactor.text(command_line("replay", options, [options.relay, options.file])),
    )
    judge = Judge(contract, record, chosen, recording.keys, strict=options.strict, baseline=baseline)
    _judge(judge, judged, known, recording)
    if record.left_out:
        tell(
            f"judged, but not in the record, which is full: {record.left_out} exchanges that show nothing new"
        )
    verdict = judge.conclude(requests=0, recorded=True)
    record.path = path
    return record.close([verdict]), record


def _judge(
    judge: Judge, calls: Sequence[RecordedCall], known: Mapping[str, State | None], recording: Recording
) -> None:
    """Let the judge see each call, in order, with the readings that were over before it began."""
    contract, schema = judge.contract, schema_of(judge.contract)
    keys = Redactor(*judge.secrets)
    last = {call.task: call for call in calls if call.kind is Kind.KNOWN}
    readings, accepted = Readings(), False
    for call in calls:
        entry = call.entry
        redactor = recording.redactor_of(contract, entry.exchange)
        exchange = without_secrets(entry.exchange, contract, redactor)
        # What was sent may be a placeholder: nobody can tell then whether it came back.
        proven = any(key in judge.secrets for key in call.keys) or _holds(exchange, keys)
        observation = Observation(
            contract=contract,
            schema=schema,
            kind=call.kind or Kind.ODD,
            task_id=call.task_id,
            exchange=exchange,
            # A state is what a task came to: it may have been another one at the readings before.
            expected=known.get(call.task_id) if call is last.get(call.task) else None,
            earlier=readings.before(call),
            # A key may have been revoked meanwhile: only who sent it knows what a refusal means.
            accepted=accepted and entry.kind is not None,
            secrets=judge.secrets if proven else (),
            ids=call.ids,
            credential=call.credential,
        )
        judge.judge(
            observation,
            label=entry.label or entry.place,
            driver="replay",
            base_url=call.base,
            redactor=redactor,
        )
        call.entry = evolve(entry, exchange=Exchange(exchange.method, exchange.url))
        accepted = accepted or exchange.status == 200
        if call.kind is Kind.KNOWN:
            readings.add(call, evolve(observation, earlier=()))  # else each would keep all before it


def _holds(exchange: Exchange, keys: Redactor) -> bool:
    """Whether an answer holds a key."""
    fields = "\n".join(f"{name}: {value}" for name, value in exchange.headers)
    return keys.text(fields) != fields or keys.bytes(exchange.body) != exchange.body


def _unjudged(calls: Iterable[RecordedCall]) -> list[str]:
    """What is said of the calls that are not judged: each reason once, and where."""
    places: dict[str, list[str]] = {}
    for call in calls:
        if call.reason is not None:
            places.setdefault(call.reason, []).append(call.entry.place)
    return [
        f"not judged: {reason}: {', '.join(where[:TOLD])}"
        + (f" and {len(where) - TOLD} more" if len(where) > TOLD else "")
        for reason, where in places.items()
    ]


def _said(options: ReplayOptions) -> dict[str, Any]:
    """The options as the record has them."""
    return {
        "mode": "replay",
        "profile": "read",
        "fuzz": False,
        "strict": options.strict,
        "checks": list(options.globs),
        "excluded": list(options.excluded),
        "seed": 0,
        "overlays": [path.name for path in options.overlays],
    }


_LATEST = 15
"""Latest readings of a task, besides its first, that a check may look back at."""
_UNDER_WAY = 32
"""Readings at either end of a task's that are kept: so many of one task at once nobody has under way."""


@define
class Readings:
    """The readings of each task in the order of time, with when they were over."""

    _of: dict[tuple[str, str], list[tuple[float | None, Observation]]] = field(factory=dict, init=False)

    def add(self, call: RecordedCall, observation: Observation) -> None:
        """A reading of the task that a call asks for."""
        own = self._of.setdefault(call.task, [])
        own.append((call.entry.ended, observation))
        del own[_UNDER_WAY:-_UNDER_WAY]

    def before(self, call: RecordedCall) -> tuple[Observation, ...]:
        """The first and the latest readings that were over: of the task, or of each of a batch."""
        started = call.entry.started
        found: list[Observation] = []
        for task_id in dict.fromkeys(call.ids or (call.task_id,)):
            ends = self._of.get((call.base, task_id), [])
            over = [seen for ended, seen in ends if ended is None or started is None or ended <= started]
            found += [*over[:1], *over[1:][-_LATEST:]]
        return tuple(found)


@frozen
class Proof:
    """
    What proves that a task is there, and a relay.

    ``named`` are the ids that the caller names, ``tasks`` those that were read; ``bases`` are the places at
    which they were, None where the caller says that every place is one.
    """

    reader: Reader
    named: frozenset[str]
    tasks: frozenset[tuple[str, str]]
    bases: frozenset[str] | None

    @classmethod
    def of(
        cls, calls: Iterable[RecordedCall], reader: Reader, named: Iterable[str], *, everywhere: bool
    ) -> Proof:
        """What calls prove, with ``named`` tasks, and ``everywhere`` where all of them asked the relay."""
        tasks = frozenset(call.task for call in calls if _is_read(call, reader))
        bases = None if everywhere else frozenset(base for base, _ in tasks)
        return cls(reader, frozenset(named), tasks, bases)

    def place(self, call: RecordedCall) -> None:
        """Say of a call what it was for, as far as that is proven, or why it is not judged."""
        call.reason = call.entry.lacking or _obstacle(call)
        if call.reason is None and call.kind is None:
            call.kind = self._kind(call)
            if call.kind is None:
                status = call.entry.exchange.status
                call.reason = f"{status} for a task of which nothing else is recorded; name it with --task"

    def _kind(self, call: RecordedCall) -> Kind | None:
        exchange = call.entry.exchange
        refused = exchange.status in {401, 403} or _like(
            exchange, (*self.reader.unauthorized, *self.reader.forbidden)
        )
        if refused or call.task_id in self.named or call.task in self.tasks:
            return Kind.KNOWN
        if _like(exchange, self.reader.missing):
            return Kind.MISSING
        # What answers at a place where no relay was seen may be any web server.
        proven = self.bases is None or call.base in self.bases
        if exchange.status == 200 and (proven or not _like(exchange, self.reader.elsewhere)):
            return Kind.KNOWN
        return None


def _obstacle(call: RecordedCall) -> str | None:
    """Why a call cannot be judged, whatever came of it."""
    exchange = call.entry.exchange
    if exchange.url.startswith(UNRECORDED) and _leads_away(exchange):
        return "it redirects, and its own host was not recorded; say it with --base-url"
    if call.kind is Kind.BATCH and not call.ids:
        return "the ids that it asks for were not recorded"
    if call.kind is None and not call.task_id:
        return "it names no task"
    return None


def _is_read(call: RecordedCall, reader: Reader) -> bool:
    """Whether an answer holds the very task that was asked for."""
    exchange = call.entry.exchange
    if exchange.status != 200 or call.entry.lacking is not None or call.ids:
        return False
    document = exchange.object
    return document is not None and reader.accepts(document) and str(reader.id(document)) == call.task_id


def _like(exchange: Exchange, matchers: Iterable[Matcher]) -> bool:
    return any(matcher.matches(exchange) for matcher in matchers)


def _leads_away(exchange: Exchange) -> bool:
    target = exchange.header("location")
    return target is not None and "//" in target and 300 <= (exchange.status or 0) < 400

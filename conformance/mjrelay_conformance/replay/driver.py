"""Judge recorded traffic without sending requests."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from attrs import define, evolve, field, frozen

from mjrelay.contract import checked_key, known_key, load_contract, read_key, resolve_base_url
from mjrelay.http import Exchange, Redactor
from mjrelay_conformance.checks import CHECKS, select_checks
from mjrelay_conformance.drivers import Judge, KnownTask, SuiteOptions, command_line, results_file
from mjrelay_conformance.judging import Baseline, Kind, Observation, Record, schema_of, submit_of
from mjrelay_conformance.replay.entries import UNRECORDED
from mjrelay_conformance.replay.files import TrafficError
from mjrelay_conformance.replay.recording import MAX_LISTED, Recording, file_label
from mjrelay_conformance.replay.secrets import redact_exchange

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from mjrelay.semantics import Matcher, Reader, State
    from mjrelay_conformance.replay.recording import RecordedCall


@frozen
class ReplayOptions(SuiteOptions):
    """Options of a replay; see ``mjrelay replay --help``."""

    relay: str
    file: str


def replay_traffic(options: ReplayOptions, notify: Callable[[str], None]) -> tuple[int, Record]:
    """
    Judge recorded traffic.

    Args:
        options: The options of the replay.
        notify: Called with a message for everything that is skipped.

    Returns:
        The exit code and the record.

    Raises:
        TrafficError: The recording cannot be read, or contains nothing that can be judged.
    """
    chosen = select_checks(options.globs, options.excluded)
    contract = load_contract(options.relay, options.overlays)
    baseline = Baseline() if options.baseline is None else Baseline.load(options.baseline, CHECKS)
    base_url = None if options.base_url is None else resolve_base_url(options.base_url, contract)
    known = {task.task_id: task.state for task in map(KnownTask.parse, options.tasks)}
    key = read_key(options.key_file) if options.key_file else known_key(contract.name)
    keys = () if key is None else (checked_key(key),)
    path = results_file(options.report_dir)

    recording = Recording.load(options.file, contract, base_url, keys)
    calls, redactor = recording.calls, recording.redactor
    classifier = Classifier.of(calls, contract.reader, known, everywhere=base_url is not None)
    for call in calls:
        classifier.classify(call)
    for line in (*recording.notices, *_skip_notices(calls)):
        notify(redactor.text(line))
    judged = [call for call in calls if call.skip_reason is None]
    if not judged:
        raise TrafficError(
            f"{file_label(options.file)}: none of the {len(calls)} responses of {contract.name} can be "
            "judged; name an existing task with --task ID, or record response bodies"
        )

    # Kept in memory until the end: a replay can be repeated, and frequent writes of a large record are slow.
    record = Record(
        None,
        redactor,
        _record_options(options),
        redactor.text(command_line("replay", options, [options.relay, options.file])),
        options.label,
    )
    bases = {call.base or "/".join(call.entry.exchange.url.split("/", 3)[:3]) for call in judged}
    recorded = bases.pop() if len(bases) == 1 and UNRECORDED not in bases else None
    record.add_target(contract, base_url or recorded)
    judge = Judge(contract, record, chosen, recording.keys, strict=options.strict, baseline=baseline)
    _judge(judge, judged, known, recording)
    if record.left_out:
        notify(f"judged, but omitted from the full record: {record.left_out} exchanges without new findings")
    verdict = judge.conclude(requests=0, recorded=True)
    record.path = path
    return record.close([verdict]), record


def _judge(
    judge: Judge, calls: Sequence[RecordedCall], known: Mapping[str, State | None], recording: Recording
) -> None:
    """Judge the calls in order, each with the earlier reads of its task that ended before it started."""
    contract, schema = judge.contract, schema_of(judge.contract)
    keys = Redactor(*judge.secrets)
    last = {call.task: call for call in calls if call.kind is Kind.KNOWN}
    reads, accepted = Reads(), False
    for call in calls:
        entry = call.entry
        redactor = recording.redactor_of(contract, entry.exchange)
        exchange = redact_exchange(entry.exchange, contract, redactor)
        # If the recorder replaced the key by a placeholder, an echo of the key cannot be detected.
        proven = any(key in judge.secrets for key in call.keys) or _holds(exchange, keys)
        observation = Observation(
            contract=contract,
            schema=schema,
            kind=call.kind or Kind.ODD,
            task_id=call.task_id,
            exchange=exchange,
            # The expected state is the final one; earlier reads may have another state.
            expected=known.get(call.task_id) if call is last.get(call.task) else None,
            earlier=reads.before(call),
            # The key may have been revoked: only the recorder can tell what a refusal means.
            accepted=accepted and entry.kind is not None,
            secrets=judge.secrets if proven else (),
            ids=call.ids,
            credential=call.credential,
            recorded=True,
            submit=submit_of(contract, exchange),
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
            reads.add(call, evolve(observation, earlier=()))  # else each would keep all its predecessors


def _holds(exchange: Exchange, keys: Redactor) -> bool:
    """Whether a response contains a key."""
    fields = "\n".join(f"{name}: {value}" for name, value in exchange.headers)
    return keys.text(fields) != fields or keys.bytes(exchange.body) != exchange.body


def _skip_notices(calls: Iterable[RecordedCall]) -> list[str]:
    """Return a message for each reason for which calls are not judged, with their places."""
    places: dict[str, list[str]] = {}
    for call in calls:
        if call.skip_reason is not None:
            places.setdefault(call.skip_reason, []).append(call.entry.place)
    return [
        f"not judged: {reason}: {', '.join(where[:MAX_LISTED])}"
        + (f" and {len(where) - MAX_LISTED} more" if len(where) > MAX_LISTED else "")
        for reason, where in places.items()
    ]


def _record_options(options: ReplayOptions) -> dict[str, Any]:
    """Return the options in the form of the record."""
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


_MAX_LATEST = 15
"""Latest reads of a task, besides the first, that a check can compare with."""
_MAX_CONCURRENT = 32
"""First and last reads that are kept per task: more than a client has in flight for one task."""


@define
class Reads:
    """The reads of each task in chronological order, with their end times."""

    _by_task: dict[tuple[str, str], list[tuple[float | None, Observation]]] = field(factory=dict, init=False)

    def add(self, call: RecordedCall, observation: Observation) -> None:
        """Add a read of the task that a call requests."""
        reads = self._by_task.setdefault(call.task, [])
        reads.append((call.entry.ended, observation))
        del reads[_MAX_CONCURRENT:-_MAX_CONCURRENT]

    def before(self, call: RecordedCall) -> tuple[Observation, ...]:
        """Return the first and the latest reads that ended before a call, for each of its tasks."""
        started = call.entry.started
        found: list[Observation] = []
        for task_id in dict.fromkeys(call.ids or (call.task_id,)):
            ends = self._by_task.get((call.base, task_id), [])
            over = [seen for ended, seen in ends if ended is None or started is None or ended <= started]
            found += [*over[:1], *over[1:][-_MAX_LATEST:]]
        return tuple(found)


@frozen
class Classifier:
    """
    Decides the purpose of recorded calls, as far as the recording proves it.

    ``named`` are the task ids that the user gave, ``tasks`` those that the recording proves to exist.
    ``bases`` are the base URLs at which the relay was seen; None if all calls went to the relay.
    """

    reader: Reader
    named: frozenset[str]
    tasks: frozenset[tuple[str, str]]
    bases: frozenset[str] | None

    @classmethod
    def of(
        cls, calls: Iterable[RecordedCall], reader: Reader, named: Iterable[str], *, everywhere: bool
    ) -> Classifier:
        """Build a classifier from the calls; ``everywhere`` is whether all of them went to the relay."""
        tasks = frozenset(call.task for call in calls if _is_read(call, reader))
        bases = None if everywhere else frozenset(base for base, _ in tasks)
        return cls(reader, frozenset(named), tasks, bases)

    def classify(self, call: RecordedCall) -> None:
        """Set the kind of a call, or the reason why it is not judged."""
        call.skip_reason = call.entry.skip_reason or _skip_reason(call)
        if call.skip_reason is None and call.kind is None:
            call.kind = self._kind(call)
            if call.kind is None:
                status = call.entry.exchange.status
                call.skip_reason = f"{status} for a task that is not known to exist; name it with --task"

    def _kind(self, call: RecordedCall) -> Kind | None:
        exchange = call.entry.exchange
        refused = exchange.status in {401, 403} or _matches(
            exchange, (*self.reader.unauthorized, *self.reader.forbidden)
        )
        if refused or call.task_id in self.named or call.task in self.tasks:
            return Kind.KNOWN
        if _matches(exchange, self.reader.missing):
            return Kind.MISSING
        # Where no relay was seen, the response may come from any web server.
        proven = self.bases is None or call.base in self.bases
        if exchange.status == 200 and (proven or not _matches(exchange, self.reader.elsewhere)):
            return Kind.KNOWN
        return None


def _skip_reason(call: RecordedCall) -> str | None:
    """Return why a call cannot be judged, whatever its response."""
    exchange = call.entry.exchange
    if exchange.url.startswith(UNRECORDED) and _redirects_to_other_host(exchange):
        return "it redirects, and its host was not recorded; give it with --base-url"
    if call.kind is Kind.BATCH and not call.ids:
        return "the requested ids were not recorded"
    if call.kind is None and not call.task_id:
        return "it has no task id"
    return None


def _is_read(call: RecordedCall, reader: Reader) -> bool:
    """Whether the response contains the requested task."""
    exchange = call.entry.exchange
    if exchange.status != 200 or call.entry.skip_reason is not None or call.ids:
        return False
    document = exchange.object
    return document is not None and reader.accepts(document) and str(reader.id(document)) == call.task_id


def _matches(exchange: Exchange, matchers: Iterable[Matcher]) -> bool:
    return any(matcher.matches(exchange) for matcher in matchers)


def _redirects_to_other_host(exchange: Exchange) -> bool:
    target = exchange.header("location")
    return target is not None and "//" in target and 300 <= (exchange.status or 0) < 400

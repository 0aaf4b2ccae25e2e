"""Judges recorded traffic, without a single request."""

from __future__ import annotations

import re
import shlex
import sys
from collections import Counter
from functools import cache
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, quote, unquote, urlsplit

from attrs import define, evolve, field, frozen

from mjrelay import _contract, _request, _settings
from mjrelay._exchange import NotJSONError, parse
from mjrelay._redaction import REDACTED, Redactor
from mjrelay_conformance._baseline import Baseline
from mjrelay_conformance._check import Kind, Observation
from mjrelay_conformance._conform import results_file
from mjrelay_conformance._plan import KnownTask
from mjrelay_conformance._record import Record
from mjrelay_conformance._runner import Judge
from mjrelay_conformance._schema import schema_of
from mjrelay_conformance._selection import select
from mjrelay_conformance._traffic import UNRECORDED, Entry, TrafficError, Unreadable, read
from mjrelay_conformance.checks.transport import SHORTEST

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from mjrelay._contract import Contract
    from mjrelay._credential import Credential
    from mjrelay._exchange import Exchange, Headers
    from mjrelay._matcher import Matcher
    from mjrelay._reader import Reader, State

_KEY_NAME = re.compile(r"authorization|api[-_]?key|secret", re.IGNORECASE)
"""Fields that hold a key, whatever the contract says."""
_PRIVATE_NAME = re.compile(
    rf"{_KEY_NAME.pattern}|cookie|token|passw|session|^(?:key|sid|sign|signature)$", re.IGNORECASE
)
"""Fields whose values nobody else should see."""
_PORTS = {"http": 80, "https": 443}
_MOST_SECRETS = 16
"""Different keys in one recording that are looked for; each costs time at every answer."""
_LONGEST_SECRET = 2048
_LEAST_COOKIE = 16
"""Characters of a cookie's value below which it may well be a word of the answer."""
_TOLD = 10
"""Entries of one kind that are told one by one."""
_LATEST = 15
"""Latest readings of a task, besides its first, that a check may look back at."""


@frozen
class Options:
    """What one replay is asked to do; see the options of ``mjrelay replay``."""

    relay: str
    file: str
    base_url: str | None = None
    tasks: tuple[str, ...] = ()
    strict: bool = False
    globs: tuple[str, ...] = ()
    excluded: tuple[str, ...] = ()
    baseline: Path | None = None
    overlays: tuple[Path, ...] = ()
    report_dir: Path | None = None
    key_file: Path | None = None


def replay(options: Options, tell: Callable[[str], None]) -> tuple[int, Record]:
    """
    The exit code and the record of a replay; what of the recording is not judged goes to ``tell``.

    Raises `TrafficError` where the recording cannot be read or holds nothing that can be judged.
    """
    chosen = select(options.globs, options.excluded)
    contract = _contract.overlaid(options.relay, options.overlays)
    baseline = Baseline() if options.baseline is None else Baseline.load(options.baseline)
    base_url = None if options.base_url is None else _settings.checked_url(options.base_url)
    known = {task.task_id: task.state for task in map(KnownTask.parse, options.tasks)}
    own = _settings.read_key(options.key_file) if options.key_file else _settings.api_key(contract.name)
    path = results_file(options.report_dir)

    recording = _Recording(contract, base_url)
    recording.load(options.file, () if own is None else (_settings.checked_key(own),))
    calls, redactor = recording.calls, recording.redactor
    _Proof.of(recording, known).place(calls)
    for line in (*recording.told, *_unjudged(calls)):
        tell(redactor.text(line))
    judged = [call for call in calls if call.reason is None]
    if not judged:
        raise TrafficError(
            f"{_name(options.file)}: {contract.name} is asked {len(calls)} times, and no answer can be "
            "judged; name a task that is there with --task ID, or record the bodies of answers too"
        )

    # In memory until the end: nothing is lost that could not be replayed, and much is not written often.
    record = Record(None, redactor, _said(options), redactor.text(_command(options)))
    judge = Judge(contract, record, chosen, recording.keys, strict=options.strict, baseline=baseline)
    _judge(judge, judged, known)
    verdict = judge.conclude(requests=0)
    record.path = path
    return record.close([verdict]), record


def _said(options: Options) -> dict[str, Any]:
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


def _command(options: Options) -> str:
    """The command line that does the same again; the relay's address is not told."""
    words = ["mjrelay", "replay", shlex.quote(options.relay), shlex.quote(options.file)]
    words += [] if options.base_url is None else ["--base-url", '"$MJRELAY_BASE_URL"']
    words += [f"--task {shlex.quote(task)}" for task in options.tasks]
    words += ["--strict"] if options.strict else []
    words += [f"--check {shlex.quote(glob)}" for glob in options.globs]
    words += [f"--exclude {shlex.quote(glob)}" for glob in options.excluded]
    words += [f"--overlay {shlex.quote(path.name)}" for path in options.overlays]
    return " ".join(words)


@define
class _Call:
    """
    One recorded exchange of an operation that is judged.

    ``base`` is what stands before the operation's path, ``ids`` are empty but for a batch. ``kind`` is what
    it was for, None where the recording does not say; ``reason`` is why it cannot be judged, if so.
    """

    entry: Entry
    base: str
    task_id: str
    ids: tuple[str, ...]
    keys: tuple[str, ...] = field(repr=False)
    credential: str | None
    kind: Kind | None = None
    reason: str | None = None

    @property
    def task(self) -> tuple[str, str]:
        """The task that it asks for; ids mean something at one relay only."""
        return self.base, self.task_id


@define
class _Recording:
    """What a recording holds of one relay: its calls in the order of time, and the keys it was asked with."""

    contract: Contract
    base_url: str | None
    calls: list[_Call] = field(factory=list, init=False)
    told: list[str] = field(factory=list, init=False)
    keys: tuple[str, ...] = field(default=(), init=False, repr=False)
    redactor: Redactor = field(factory=Redactor, init=False, repr=False)

    def load(self, file: str, keys: Iterable[str]) -> None:
        """Read a file, or stdin where it is called ``-``; raises `TrafficError` where none of it is asked."""
        name = _name(file)
        seen: Counter[str] = Counter()
        unreadable: list[str] = []
        others, private, made_up = 0, dict.fromkeys(keys), set[str]()
        for entry in _read(file, name):
            if isinstance(entry, Unreadable):
                unreadable.append(f"{entry.place} {entry.reason}")
                continue
            call = self._call(entry)
            if call is None:
                others += 1
                if len(seen) < 5:
                    seen[_shown(entry.exchange)] += 1
                continue
            self.calls.append(call)
            private.update(dict.fromkeys(call.keys))
            made_up.update(call.keys if call.kind is Kind.BAD_CREDENTIAL else ())
            if len(private) > _MOST_SECRETS:
                raise TrafficError(
                    f"{name}: holds more than {_MOST_SECRETS} different keys, too many to be kept out of "
                    "what is written; export the traffic of fewer callers"
                )
        self.keys = tuple(key for key in private if len(key) >= SHORTEST and key not in made_up)
        cookies = dict.fromkeys(cookie for call in self.calls for cookie in _cookies(call.entry.exchange))
        self.redactor = Redactor(*private, *list(cookies)[: _MOST_SECRETS // 2])
        self._tell(unreadable, others)
        if not self.calls:
            raise TrafficError(self._nothing(name, others, len(unreadable), list(seen)))
        self._order()

    def _call(self, entry: Entry) -> _Call | None:
        """The call that an entry is; None for what asks this relay for no task."""
        contract = self.contract
        if entry.relay not in {None, contract.name} or not _is_url(entry.exchange.url):
            return None
        if self.base_url is not None and entry.exchange.url.startswith(UNRECORDED):
            host = "{0.scheme}://{0.netloc}".format(urlsplit(self.base_url))
            url = host + entry.exchange.url.removeprefix(UNRECORDED)
            entry = evolve(entry, exchange=evolve(entry.exchange, url=url))
        exchange = entry.exchange
        keys = tuple(_keys(contract, exchange))
        scheme = next((one.scheme for one in contract.credentials if _presented(one, exchange)), None)
        if entry.kind is not None:
            ids = _ids(contract, exchange) if entry.kind is Kind.BATCH else ()
            return _Call(entry, "", entry.task_id or "", ids, keys, scheme, entry.kind)
        reader = contract.reader
        if contract.batch is not None and reader.batch is not None:
            base = self._base(exchange, str(contract.batch[1]), str(contract.batch[2]).upper())
            if base is not None:
                ids = _ids(contract, exchange)
                return _Call(entry, base[0], ids[0] if ids else "", ids, keys, scheme, Kind.BATCH)
        found = self._base(exchange, contract.path, contract.method)
        if found is None:
            return None
        base_url, parameters = found
        task_id = next(iter(_values(exchange, reader.ask, parameters)), "")
        return _Call(entry, base_url, task_id, (), keys, scheme)

    def _base(self, exchange: Exchange, template: str, method: str) -> tuple[str, Mapping[str, str]] | None:
        """What stands before an operation's path in a URL, and the path's parameters; None elsewhere."""
        if exchange.method.upper() != method:
            return None
        parts = urlsplit(exchange.url)
        match = _ending(template).search(parts.path)
        if match is None:
            return None
        if self.base_url is not None and _place(exchange.url) != _place(
            _request.join(self.base_url, match[0])
        ):
            return None
        scheme, host, port, path = _place(exchange.url)
        base = f"{scheme}://{host}{'' if port is None else f':{port}'}{path[: match.start()]}"
        return base, {name: unquote(value) for name, value in match.groupdict().items()}

    def _order(self) -> None:
        """Put the calls in the order of time; one without a time stays behind the one before it."""
        moment, keyed = float("-inf"), []
        for call in self.calls:
            moment = moment if call.entry.started is None else call.entry.started
            keyed.append((moment, call))
        self.calls = [call for _, call in sorted(keyed, key=lambda pair: pair[0])]

    def _tell(self, unreadable: list[str], others: int) -> None:
        self.told += [f"skipped: {line}" for line in unreadable[:_TOLD]]
        if len(unreadable) > _TOLD:
            self.told.append(f"skipped: {len(unreadable) - _TOLD} more entries that cannot be read")
        if others and self.calls:
            self.told.append(f"skipped: {others} exchanges that ask {self.contract.name} for no task")

    def _nothing(self, name: str, others: int, unreadable: int, seen: Sequence[str]) -> str:
        asked = f"{self.contract.method} …{self.contract.path}"
        where = "" if self.base_url is None else f" at {self.base_url}"
        holds = f"it holds, for instance: {'; '.join(seen)}" if seen else "it holds no exchange"
        broken = f", and {unreadable} that cannot be read" if unreadable else ""
        return (
            f"{name}: none of its {others} exchanges{broken} asks {self.contract.name}{where} for a task "
            f"({asked}); {self.redactor.text(holds)}. Record a fetch, or name the relay that was asked"
        )


def _name(file: str) -> str:
    return "stdin" if file == "-" else file


def _read(file: str, name: str) -> Iterable[Entry | Unreadable]:
    if file == "-":
        return read(sys.stdin.buffer, name)
    try:
        with Path(file).open("rb") as stream:
            return read(stream, name)
    except OSError as error:
        raise TrafficError(f"{name}: cannot be read ({error.strerror}); check the path") from error


def _is_url(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return parts.scheme in _PORTS and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


def _place(url: str) -> tuple[str, str, int | None, str]:
    """Scheme, host, port where it is not the scheme's own, and path."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    port = None if parts.port == _PORTS[parts.scheme] else parts.port
    return parts.scheme, f"[{host}]" if ":" in host else host, port, parts.path


@cache
def _ending(template: str) -> re.Pattern[str]:
    """The end of a path that a template describes."""
    parts = re.split(r"\{([^{}/]+)\}", template)
    pattern = "".join(
        f"(?P<{_group(part)}>[^/]+)" if index % 2 else re.escape(part) for index, part in enumerate(parts)
    )
    return re.compile(f"{pattern}\\Z")


def _group(name: str) -> str:
    return "p_" + re.sub(r"\W", "_", name)


def _values(exchange: Exchange, expression: str, parameters: Mapping[str, str]) -> tuple[str, ...]:
    """The ids at the place of a request that a runtime expression names."""
    place, name = _request.ask(expression)
    match place:
        case "path":
            return tuple(value for group, value in parameters.items() if group == _group(name))
        case "query":
            pairs = parse_qsl(urlsplit(exchange.url).query, keep_blank_values=True)
            return tuple(value for key, value in pairs if key == name)
        case "header":
            return tuple(value for key, value in exchange.request_headers if key.lower() == name.lower())
        case _:
            return _in_body(exchange.request_body, name)


def _in_body(body: bytes, pointer: str) -> tuple[str, ...]:
    try:
        node = parse(body)
    except NotJSONError:
        return ()
    for step in pointer.split("/")[1:]:
        if not isinstance(node, dict):
            return ()
        node = node.get(step.replace("~1", "/").replace("~0", "~"))
    values = node if isinstance(node, list) else [node]
    return tuple(
        str(value) for value in values if isinstance(value, str | int) and not isinstance(value, bool)
    )


def _ids(contract: Contract, exchange: Exchange) -> tuple[str, ...]:
    return () if contract.reader.batch is None else _values(exchange, contract.reader.batch.ids, {})


@frozen
class _Proof:
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
    def of(cls, recording: _Recording, named: Iterable[str]) -> _Proof:
        """What a recording proves."""
        reader = recording.contract.reader
        tasks = frozenset(call.task for call in recording.calls if _is_read(call, reader))
        bases = None if recording.base_url is not None else frozenset(base for base, _ in tasks)
        return cls(reader, frozenset(named), tasks, bases)

    def place(self, calls: Iterable[_Call]) -> None:
        """Say of each call what it was for, as far as that is proven, or why it is not judged."""
        for call in calls:
            call.reason = call.entry.lacking or self._obstacle(call)
            if call.reason is None and call.kind is None:
                call.kind = self._kind(call)
                if call.kind is None:
                    status = call.entry.exchange.status
                    call.reason = (
                        f"{status} for a task of which nothing else is recorded; name it with --task"
                    )

    def _obstacle(self, call: _Call) -> str | None:
        exchange = call.entry.exchange
        if exchange.url.startswith(UNRECORDED) and _leads_away(exchange):
            return "it redirects, and its own host was not recorded; say it with --base-url"
        if call.kind is Kind.BATCH and not call.ids:
            return "the ids that it asks for were not recorded"
        if call.kind is None and not call.task_id:
            return "it names no task"
        return None

    def _kind(self, call: _Call) -> Kind | None:
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


def _is_read(call: _Call, reader: Reader) -> bool:
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


def _unjudged(calls: Iterable[_Call]) -> list[str]:
    """What is said of the calls that are not judged: each reason once, and where."""
    places: dict[str, list[str]] = {}
    for call in calls:
        if call.reason is not None:
            places.setdefault(call.reason, []).append(call.entry.place)
    return [
        f"not judged: {reason}: {', '.join(where[:_TOLD])}"
        + (f" and {len(where) - _TOLD} more" if len(where) > _TOLD else "")
        for reason, where in places.items()
    ]


def _judge(judge: Judge, calls: Sequence[_Call], known: Mapping[str, State | None]) -> None:
    """Let the judge see each call, in order, with the readings that were over before it began."""
    contract, schema = judge.contract, schema_of(judge.contract)
    readings: dict[tuple[str, str], list[tuple[float | None, Observation]]] = {}
    last = {call.task: call for call in calls if call.kind is Kind.KNOWN}
    accepted = False
    for call in calls:
        entry = call.entry
        exchange = _shown_exchange(entry.exchange, contract, judge.record.redactor)
        # What was sent may be a placeholder: nobody can tell then whether it came back.
        sent = not judge.secrets or any(key in judge.secrets for key in call.keys)
        observation = Observation(
            contract=contract,
            schema=schema,
            kind=call.kind or Kind.ODD,
            task_id=call.task_id,
            exchange=exchange,
            # A state is what a task came to: it may have been another one at the readings before.
            expected=known.get(call.task_id) if call is last.get(call.task) else None,
            earlier=_earlier(call, readings),
            # A key may have been revoked meanwhile: only who sent it knows what a refusal means.
            accepted=accepted and entry.kind is not None,
            secrets=judge.secrets if sent or _echoes(exchange, judge.secrets) else (),
            ids=call.ids,
            credential=call.credential,
        )
        judge.judge(observation, label=entry.label or entry.place, driver="replay", base_url=call.base)
        accepted = accepted or exchange.status == 200
        if call.kind is Kind.KNOWN:
            readings.setdefault(call.task, []).append((entry.ended, observation))


def _earlier(
    call: _Call, readings: Mapping[tuple[str, str], Sequence[tuple[float | None, Observation]]]
) -> tuple[Observation, ...]:
    """The first and the latest readings that were over: of the task, or of each that a batch asks for."""
    started = call.entry.started

    def over(ended: float | None) -> bool:
        return ended is None or started is None or ended <= started

    found: list[Observation] = []
    for task_id in dict.fromkeys(call.ids or (call.task_id,)):
        own = readings.get((call.base, task_id), ())
        first = next((at for at, (ended, _) in enumerate(own) if over(ended)), len(own))
        behind = (at for at in range(len(own) - 1, first, -1) if over(own[at][0]))
        chosen = [*sorted(islice(behind, _LATEST))]
        found += [own[at][1] for at in [first, *chosen] if at < len(own)]
    return tuple(found)


def _echoes(exchange: Exchange, secrets: tuple[str, ...]) -> bool:
    redactor = Redactor(*secrets)
    fields = "\n".join(f"{name}: {value}" for name, value in exchange.headers)
    return redactor.text(fields) != fields or redactor.bytes(exchange.body) != exchange.body


def _presented(credential: Credential, exchange: Exchange) -> list[str]:
    """What a request holds where a credential belongs."""
    match credential.place:
        case "header":
            pairs = list(exchange.request_headers)
        case "query":
            pairs = parse_qsl(urlsplit(exchange.url).query)
        case _:
            pairs = _cookie_pairs(exchange.request_headers)
    prefix = credential.prefix.lower()
    fold = str.lower if credential.place == "header" else str
    return [
        value[len(prefix) :].strip()
        for name, value in pairs
        if fold(name) == fold(credential.field)
        and value.lower().startswith(prefix)
        and value[len(prefix) :].strip()
    ]


def _keys(contract: Contract, exchange: Exchange) -> Iterable[str]:
    """The keys that a request was sent with; a placeholder is none."""
    found = [value for one in contract.credentials for value in _presented(one, exchange)]
    found += [
        value.strip().partition(" ")[2].strip() or value.strip()
        for name, value in exchange.request_headers
        if _KEY_NAME.search(name)
    ]
    parts = urlsplit(exchange.url)
    found += [value for name, value in parse_qsl(parts.query) if _KEY_NAME.search(name)]
    found += [unquote(parts.password)] if parts.password else []
    return (key for key in found if 4 <= len(key) <= _LONGEST_SECRET and not _is_placeholder(key))


def _is_placeholder(key: str) -> bool:
    return "redacted" in key.lower() or not re.search(r"[^*xX•.\s-]", key)


def _cookies(exchange: Exchange) -> Iterable[str]:
    """The values of cookies that are long enough to be told from other text."""
    pairs = _cookie_pairs(exchange.request_headers)
    pairs += [
        _pair(value.partition(";")[0]) for name, value in exchange.headers if name.lower() == "set-cookie"
    ]
    return (value for _, value in pairs if _LEAST_COOKIE <= len(value) <= _LONGEST_SECRET)


def _cookie_pairs(headers: Headers) -> list[tuple[str, str]]:
    return [_pair(piece) for name, value in headers if name.lower() == "cookie" for piece in value.split(";")]


def _pair(text: str) -> tuple[str, str]:
    name, _, value = text.strip().partition("=")
    return name, value


def _shown_exchange(exchange: Exchange, contract: Contract, redactor: Redactor) -> Exchange:
    """The exchange as a judge may keep it: what was sent is without secrets, what came is as it came."""
    fields = {one.field.lower() for one in contract.credentials}

    def private(name: str) -> bool:
        return name.lower() in fields or _PRIVATE_NAME.search(name) is not None

    def value(name: str, text: str) -> str:
        if not private(name):
            return redactor.text(text)
        word, space, rest = text.strip().partition(" ")
        return f"{word} {REDACTED}" if space and rest and word.isalpha() else REDACTED

    parts = urlsplit(exchange.url)
    query = "&".join(
        f"{name}={quote(REDACTED, safe='')}" if private(unquote(name)) else redactor.text(pair)
        for pair in parts.query.split("&")
        for name in [pair.partition("=")[0]]
    )
    netloc = parts.netloc.rpartition("@")[2]
    url = f"{parts.scheme}://{netloc}{redactor.text(parts.path)}" + (f"?{query}" if query else "")
    return evolve(
        exchange,
        url=url,
        request_headers=tuple((name, value(name, text)) for name, text in exchange.request_headers),
        request_body=redactor.bytes(exchange.request_body),
        headers=tuple((name, _without_cookie(name, text, redactor)) for name, text in exchange.headers),
        failure=None if exchange.failure is None else redactor.text(exchange.failure),
    )


def _without_cookie(name: str, text: str, redactor: Redactor) -> str:
    """A field of the answer; a cookie's value is left out, unless a secret came back in it."""
    if name.lower() != "set-cookie" or redactor.text(text) != text:
        return text
    pair, mark, attributes = text.partition(";")
    return f"{pair.partition('=')[0]}={REDACTED}{mark}{attributes}"


def _shown(exchange: Exchange) -> str:
    """Method and path of an exchange, without what may be a secret."""
    try:
        path = urlsplit(exchange.url).path
    except ValueError:
        path = "?"
    steps = ["…" if len(step) >= 16 and re.search(r"\d", step) else step[:40] for step in path.split("/")]
    return f"{exchange.method[:10]} {'/'.join(steps[:12])}"

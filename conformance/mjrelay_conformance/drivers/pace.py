"""The rate of requests to a relay, and when to stop."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import define, field

from mjrelay.base import Clock
from mjrelay.http import retry_after
from mjrelay_conformance.drivers.probe import LATE
from mjrelay_conformance.judging import REFUSED, UNUSUAL, Kind

if TYPE_CHECKING:
    from mjrelay_conformance.judging import Observation


LONGEST_WAIT = 60.0
"""Maximum `Retry-After` in seconds that the run waits for, once."""


@define
class Pace:
    """
    Wait between requests, and stop the run when it must not continue.

    It waits once for an overloaded relay (429, 503, 52x) with `Retry-After`, and stops the second time. It
    also stops if the relay refuses the caller's key, or does not respond in time twice in a row. A site may
    limit requests to unknown paths and no others, so a 429 there ends only the requests of that kind.

    Attributes:
        pause: Seconds between two requests.
        spacing: Seconds between two requests for the same task.
        longest: Maximum seconds of the run.
        clock: Time and sleep.
        stopped: Why the run stopped, or None.
        ended: Kinds of requests of which no more are sent.
    """

    pause: float = 0.0
    spacing: float = 0.0
    longest: float = float("inf")
    clock: Clock = field(factory=Clock)
    stopped: str | None = field(default=None, init=False)
    ended: set[Kind] = field(factory=set, init=False)
    _started: float | None = field(default=None, init=False)
    _read: dict[str, float] = field(factory=dict, init=False)
    _due: float = field(default=0.0, init=False)
    _unanswered: int = field(default=0, init=False)
    _refused: int = field(default=0, init=False)
    _limited: int = field(default=0, init=False)

    def wait(self, again: str | None = None) -> bool:
        """
        Wait until the next request is allowed. Return False if the run has stopped.

        Args:
            again: Id of a task that is requested a second time.
        """
        now = self.clock.now()
        if self._started is None:
            self._started = now
        else:
            self._due = max(self._due, self.pause)
        if again in self._read:
            self._due = max(self._due, self._read[again] + self.spacing - now)
        if self.stopped is None and now + self._due - self._started >= self.longest:
            self.stopped = f"the time limit of the run, {self.longest:g} s, was reached"
        if self.stopped is not None:
            return False
        if self._due > 0:
            self.clock.sleep(self._due)
        self._due = 0.0
        return True

    def learn(self, observation: Observation) -> bool:
        """Handle an observation. Return True to send the same request again."""
        exchange = observation.exchange
        self._read.setdefault(observation.task_id, self.clock.now())
        if observation.refused:
            self.stopped = "the relay refused the caller's key; more requests could block it"
        # Other authentication methods may be refused, and a firewall refuses unusual requests with 403. TRACE
        # is sent without the key.
        usual = observation.kind not in {*REFUSED, Kind.ALTERNATIVE} and exchange.method != "TRACE"
        forbidden = exchange.status == 403 and observation.kind is Kind.KNOWN
        self._refused = self._refused + 1 if usual and (exchange.status == 401 or forbidden) else 0
        unanswered = exchange.status is None or exchange.failure == LATE
        self._unanswered = self._unanswered + 1 if unanswered else 0
        if self._refused > 1:
            self.stopped = "the relay refused the caller's key twice in a row"
        if self._unanswered > 1:
            self.stopped = "no response in time, twice in a row"
        if exchange.status == 429 and observation.kind in UNUSUAL:
            self.ended.add(observation.kind)
            return False
        return observation.overloaded and self._may_retry(observation)

    def _may_retry(self, observation: Observation) -> bool:
        self._limited += 1
        seconds = retry_after(observation.exchange)
        if seconds is not None and seconds <= LONGEST_WAIT and self._limited == 1:
            self._due = seconds
            return True
        self.stopped = observation.inconclusive
        return False

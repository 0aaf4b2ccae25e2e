"""How fast a relay is asked, and when it is left alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import define, field

from mjrelay.base import Clock
from mjrelay.http import retry_after
from mjrelay_conformance.drivers.probe import LATE
from mjrelay_conformance.judging import REFUSED, Kind

if TYPE_CHECKING:
    from mjrelay_conformance.judging import Observation


PATIENCE = 60.0
"""Seconds that a `Retry-After` is waited for, once."""


@define
class Pace:
    """
    The time between requests, and the reasons to send no more of them.

    ``pause`` is the time between two requests, ``spacing`` that between two readings of a task, ``longest``
    the time that the whole may take, all in seconds. A relay that is overloaded (429, 503, 52x) is left alone
    for as long as it asks, and a second time for good; so is one that refuses the caller's key, or twice in a
    row does not answer in time or at all.
    """

    pause: float = 0.0
    spacing: float = 0.0
    longest: float = float("inf")
    clock: Clock = field(factory=Clock)
    stopped: str | None = field(default=None, init=False)
    _started: float | None = field(default=None, init=False)
    _read: dict[str, float] = field(factory=dict, init=False)
    _owed: float = field(default=0.0, init=False)
    _silent: int = field(default=0, init=False)
    _refused: int = field(default=0, init=False)
    _limited: int = field(default=0, init=False)

    def wait(self, again: str | None = None) -> bool:
        """
        Wait until the next request may be sent; False where none may be.

        ``again`` is the id of a task that is to be read a second time.
        """
        now = self.clock.now()
        if self._started is None:
            self._started = now
        else:
            self._owed = max(self._owed, self.pause)
        if again in self._read:
            self._owed = max(self._owed, self._read[again] + self.spacing - now)
        if self.stopped is None and now + self._owed - self._started >= self.longest:
            self.stopped = f"the time that the run may take, {self.longest:g} s, is over"
        if self.stopped is not None:
            return False
        if self._owed > 0:
            self.clock.sleep(self._owed)
        self._owed = 0.0
        return True

    def learn(self, observation: Observation) -> bool:
        """Take in what came back; True where the same request is to be sent once more."""
        exchange = observation.exchange
        self._read.setdefault(observation.task_id, self.clock.now())
        if observation.refused:
            self.stopped = (
                "the relay refused the caller's key, and each further try would be one more bad one"
            )
        # Another way of authenticating may be refused, and a shield refuses odd requests with 403. TRACE
        # is sent without the key.
        usual = observation.kind not in {*REFUSED, Kind.ALTERNATIVE} and exchange.method != "TRACE"
        forbidden = exchange.status == 403 and observation.kind is Kind.KNOWN
        self._refused = self._refused + 1 if usual and (exchange.status == 401 or forbidden) else 0
        silent = exchange.status is None or exchange.failure == LATE
        self._silent = self._silent + 1 if silent else 0
        if self._refused > 1:
            self.stopped = "the relay refused the caller's key twice in a row"
        if self._silent > 1:
            self.stopped = "twice in a row no answer came in time, or none at all"
        return observation.overloaded and self._pardon(observation)

    def _pardon(self, observation: Observation) -> bool:
        self._limited += 1
        asked = retry_after(observation.exchange)
        if asked is not None and asked <= PATIENCE and self._limited == 1:
            self._owed = asked
            return True
        self.stopped = observation.inconclusive
        return False

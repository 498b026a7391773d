"""The agent's pulse: beats out, ticks in, and what a new connection makes it read again."""

from __future__ import annotations

from collections.abc import Callable

from ripstop.core.chance import SplitMix64
from ripstop.core.clock import Instant
from ripstop.core.messages import Beat
from ripstop.core.node import Effect, Fetch, Fetched, SetTimer
from ripstop.core.subjects import Subjects
from ripstop.core.value import dataclass

from .authority import Authority
from .breaker import BreakerState
from .chronicle import Chronicle
from .governance import Governance
from .settings import NodeSettings
from .voice import Voice

_JITTER = 0.1
_FETCH_SPREAD_S = 1.0
_DOUBLE_US = 60_000_000


@dataclass(slots=True)
class Pulse:
    """Paces the beats and judges the ticks; effects are added to `out`."""

    settings: NodeSettings
    names: Subjects
    authority: Authority
    governance: Governance
    chronicle: Chronicle
    voice: Voice
    breaker_state: Callable[[], BreakerState]
    chance: SplitMix64
    _due_us: int = 0
    _double_us: int | None = None

    def connected(self, now: Instant, out: list[Effect]) -> None:
        """Begin a connection by a beat, whose echo is its first round trip."""
        self.voice.is_connected = True
        self.authority.connected(now)
        self._send(now, out)
        self._set(now, out, least=0.0)
        self._read_again(1.5 * self.settings.beat_s, now, out)

    def disconnected(self) -> None:
        """End a connection."""
        self.voice.is_connected = False
        self.authority.disconnected()

    def beat(self, now: Instant, out: list[Effect]) -> None:
        """Send a sign of life, and set the next."""
        if self.voice.is_connected:
            self._send(now, out)
            self._set(now, out)

    def _send(self, now: Instant, out: list[Effect]) -> None:
        records = self.chronicle.records
        beat = Beat(
            self.settings.agent, now.boot, records.incarnation, self.voice.next_beat(),
            self.authority.nonce(now), self.governance.position, self.governance.vm.release.counter,
            self.breaker_state().value, records.sequence, records.head,
        )  # fmt: skip
        self.voice.beat(beat, out)
        self.governance.take_ripe(now, out)

    def pace(self, now: Instant, out: list[Effect]) -> None:
        """Beat sooner where a lease asks for it: the echo of a beat is what it is counted from."""
        lease_s = self.governance.standing.shortest_lease_s
        if lease_s is not None and now.mono_us + lease_s / 4 * 1e6 < self._due_us:
            self._set(now, out, least=0.0)

    def _set(self, now: Instant, out: list[Effect], least: float = 1 - _JITTER) -> None:
        """Set the next beat; what moves the whole fleet at once takes any part of the interval (`least` 0).

        Else all beat together after a server's restart, and hold up a command that comes right behind.
        """
        lease_s = self.governance.standing.shortest_lease_s
        base_s = self.settings.beat_s if lease_s is None else min(self.settings.beat_s, lease_s / 4)
        self._due_us = now.mono_us + round(base_s * 1e6 * self.chance.uniform(least, 1 + _JITTER))
        out.append(SetTimer("beat", self._due_us))

    def tick(self, data: bytes, now: Instant, out: list[Effect]) -> None:
        """Take a tick.

        Raises:
            WireError: it is forged, foreign, or of an epoch that is over.
        """
        outcome = self.authority.tick(data)
        if outcome.is_first_round_trip:
            self.voice.flush(out)
            self.voice.repeat_work((now.wall_us, now.mono_us), out)
            self.chronicle.on_round_trip(now, out)
        if outcome.is_first_round_trip or outcome.is_behind:
            self._read_again(0.0, now, out)
        if outcome.is_duplicated:
            self._tell_of_double(now, out)
        self.governance.take_ripe(now, out)
        if not outcome.is_behind:
            self.governance.confirm(self.authority.heard_us, now, out)

    def _tell_of_double(self, now: Instant, out: list[Effect]) -> None:
        """Another device beats under this id: told, never acted on, since either may be the honest one."""
        if self._double_us is None or now.mono_us - self._double_us > _DOUBLE_US:
            self._double_us = now.mono_us
            self.chronicle.tell("identity.duplicated", {"agent": self.settings.agent}, now, out)

    def _read_again(self, after_s: float, now: Instant, out: list[Effect]) -> None:
        wait_s = after_s + self.chance.uniform(0.0, _FETCH_SPREAD_S)
        out.append(SetTimer("fetch", now.mono_us + round(wait_s * 1e6)))

    def fetch(self, now: Instant, out: list[Effect]) -> None:
        """Read what the durable keys hold."""
        if self.voice.is_connected:
            out.append(Fetch(self.names.bundle_key))
            out.extend(Fetch(self.names.intent_key(scope)) for scope in self.authority.scopes)

    def fetched(self, event: Fetched, now: Instant, out: list[Effect]) -> None:
        """Take what a durable key held."""
        if event.data is None:
            return
        if event.key == self.names.bundle_key:
            self.governance.take_bundle(event.data, now, out)
        elif event.key in map(self.names.intent_key, self.authority.scopes):
            self.governance.take_intent(event.data, now, out, is_stored=True)

"""Who may command this agent, and whether a command is fresh.

Every beat carries a nonce; the control plane's signed ticks echo it; an intent cites a tick. So the agent
knows of each intent a beat before which it cannot have been issued, and counts leases from when it sent that
beat. A tick that was lost is no matter: the last known tick before the cited one proves a little less, on
the safe side.
"""

from __future__ import annotations

from bisect import bisect_right
from functools import lru_cache

from ripstop.core.chance import SplitMix64
from ripstop.core.clock import Instant
from ripstop.core.errors import WireError
from ripstop.core.intent import Intent, Position
from ripstop.core.messages import Tick
from ripstop.core.value import dataclass
from ripstop.core.wire.envelope import EnvelopeType
from ripstop.core.wire.record import unpack

from .settings import Opener
from .standing import Held

_REMEMBERED = 64


# Agents of one process are often handed the same bytes: reading them is pure, so it is done once.
@lru_cache(maxsize=8)
def _read_tick(body: bytes) -> Tick:
    return unpack(Tick, body)


@lru_cache(maxsize=32)
def _read_intent(body: bytes) -> Intent:
    return unpack(Intent, body)


class RefusedError(WireError):
    """A command that is refused (codes W05xx); `scope` and `position` say which, where that could be read."""

    def __init__(self, message: str, code: str, scope: str = "", position: Position | None = None) -> None:
        super().__init__(message, code=code)
        self.scope = scope
        self.position = position


@dataclass(frozen=True, slots=True)
class TickOutcome:
    """What a tick brought.

    The first round trip since the link came up; a sign of a second device with this id; or that the authority
    is further than what is held here: an intent was missed.
    """

    is_first_round_trip: bool = False
    is_duplicated: bool = False
    is_behind: bool = False


_NOTHING_NEW = TickOutcome()


class Authority:
    """Checks ticks and intents, and remembers the highest that was accepted of each scope."""

    def __init__(self, agent: str, opener: Opener | None, *, chance: SplitMix64) -> None:
        self.scopes = ("fleet", f"agent-{agent}")
        self.held: dict[str, Held] = {}
        self.position = Position()  # the highest accepted, whatever its scope
        self.obeyed = Position()  # the highest that is claimed: not one whose leases nothing proves
        self.has_round_trip = False
        self.dropped = 0
        self._agent = agent
        self._open = opener
        self._chance = chance
        self._epoch = 0
        self._nonces: dict[bytes, int] = {}
        self._ticks: list[tuple[int, int]] = []
        self._sent_us: list[int] = []
        self._pending: dict[str, tuple[Intent, bytes, int]] = {}
        self._connected_us = 0
        self._is_echoed = False
        self._missed = Position()

    @property
    def epoch(self) -> int:
        """The highest epoch seen."""
        return self._epoch

    @property
    def heard_us(self) -> int | None:
        """When the last beat was sent that the ground has echoed, monotonic; None where none was."""
        return self._sent_us[-1] if self._sent_us else None

    def reseed(self, chance: SplitMix64) -> None:
        """Draw nonces from another stream: no life's nonces may repeat those of an earlier one."""
        self._chance = chance

    def connected(self, now: Instant) -> None:
        """Begin a connection: what was buffered elsewhere is not trusted until a round trip succeeded."""
        self._connected_us = now.mono_us
        self.has_round_trip = self._is_echoed = False

    def disconnected(self) -> None:
        """End a connection."""
        self.has_round_trip = self._is_echoed = False
        self._pending.clear()

    def nonce(self, now: Instant) -> bytes:
        """Give the nonce of a beat that is sent now."""
        nonce = self._chance.octets(8)
        self._nonces[nonce] = now.mono_us
        if len(self._nonces) > _REMEMBERED:
            del self._nonces[next(iter(self._nonces))]  # the oldest: a dict keeps the order of insertion
        return nonce

    def tick(self, data: bytes) -> TickOutcome:
        """Take a tick.

        Raises:
            WireError: it is forged, foreign, or of another role; `RefusedError` W0503 for an older epoch.
        """
        envelope = self._opener()(EnvelopeType.TICK, data)
        tick = _read_tick(envelope.body)
        if (tick.position.epoch, tick.number) != (envelope.epoch, envelope.tick):
            raise RefusedError("a tick disagrees with its envelope", "W0505")
        if envelope.epoch < self.epoch:
            raise RefusedError(
                f"epoch {envelope.epoch} is over, expected at least {self.epoch}",
                "W0503",
                position=tick.position,
            )
        key = (envelope.epoch, tick.number)
        if self._ticks and key <= self._ticks[-1]:
            return _NOTHING_NEW
        self._epoch = envelope.epoch
        nonce = tick.nonces.get(self._agent)
        if nonce is None:
            return _NOTHING_NEW
        is_behind = self._is_behind(tick.position)
        sent_us = self._nonces.get(nonce)
        if sent_us is None:
            return TickOutcome(is_duplicated=self._is_echoed, is_behind=is_behind)
        self._ticks.append(key)
        self._sent_us.append(sent_us)
        if len(self._ticks) > _REMEMBERED:
            del self._ticks[0], self._sent_us[0]
        if sent_us < self._connected_us:
            return _NOTHING_NEW
        first, self.has_round_trip, self._is_echoed = not self.has_round_trip, True, True
        return TickOutcome(first, False, is_behind) if first or is_behind else _NOTHING_NEW

    def _is_behind(self, position: Position) -> bool:
        """Whether the ground has issued what never came here; said once for each position."""
        if position.generation == 0 or position <= self.position or position <= self._missed:
            return False
        if any(position <= intent.position for intent, _, _ in self._pending.values()):
            return False
        self._missed = position
        return True

    def intent(self, data: bytes, now: Instant, *, is_stored: bool = False) -> Held | None:
        """Check an intent; give it where it is to be applied, None where it changes nothing or must wait.

        Args:
            data: the signed bytes.
            now: the clocks.
            is_stored: whether it was read from the durable key. Without proof of freshness such a one is
                taken, but its leases count as over: what silence does to it is what holds.

        Raises:
            WireError: forged, foreign, or of another role; `RefusedError`: W0501 before a round trip, W0503
                older, W0504 another scope's, W0505 malformed, W0506 contradicts one of the same position.
        """
        envelope = self._opener()(EnvelopeType.INTENT, data)
        intent = _read_intent(envelope.body)
        position = intent.position
        stated = (intent.scope, position.epoch, position.generation, intent.tick)
        if stated != (envelope.scope, envelope.epoch, envelope.generation, envelope.tick):
            raise RefusedError("an intent disagrees with its envelope", "W0505")
        if intent.scope not in self.scopes:
            raise RefusedError(f"meant for scope `{intent.scope}`", "W0504", intent.scope, position)
        if not is_stored and not self.has_round_trip:
            self.dropped += 1
            raise RefusedError("came before a round trip on this connection", "W0501", intent.scope, position)
        held = self.held.get(intent.scope)
        if position.epoch < self.epoch or (held and position < held.intent.position):
            raise RefusedError("a higher one is in force", "W0503", intent.scope, position)
        since_us = self._proof(intent)
        if held and position == held.intent.position:
            if data != held.envelope:
                raise RefusedError("another intent has the same position", "W0506", intent.scope, position)
            if held.is_proven or since_us is None:
                return None
        if since_us is not None:
            return Held(intent, data, since_us)
        if is_stored:
            return Held(intent, data, now.mono_us, is_proven=False)
        waiting = self._pending.get(intent.scope)
        if waiting is None or position > waiting[0].position:
            self._pending[intent.scope] = (intent, data, now.mono_us)
        return None

    def accept(self, held: Held) -> None:
        """Put an intent in force for its scope."""
        self.held[held.intent.scope] = held
        self.position = max(entry.intent.position for entry in self.held.values())
        obeyed = (entry.intent.position for entry in self.held.values() if entry.is_claimed_by(self._agent))
        self.obeyed = max(obeyed, default=Position())
        self._epoch = max(self._epoch, self.position.epoch)
        waiting = self._pending.get(held.intent.scope)
        if waiting is not None and waiting[0].position <= held.intent.position:
            del self._pending[held.intent.scope]

    @property
    def has_waiting(self) -> bool:
        """Whether an intent waits for a tick that proves it fresh."""
        return bool(self._pending)

    def ripe(self, now: Instant, patience_s: float) -> tuple[list[Held], list[RefusedError]]:
        """Give the waiting intents that a tick has now proved fresh, and those that have waited in vain.

        One that cites a tick from before this agent came is never proved; it may still be read from its
        durable key meanwhile, and then waits no more.
        """
        fresh: list[Held] = []
        stale: list[RefusedError] = []
        for scope, (intent, data, arrived_us) in list(self._pending.items()):
            since_us = self._proof(intent)
            if since_us is not None:
                fresh.append(Held(intent, data, since_us))
            elif now.mono_us - arrived_us > patience_s * 1e6:
                stale.append(
                    RefusedError(
                        f"stale: it cites tick {intent.tick}, which proves nothing here",
                        "W0502",
                        scope,
                        intent.position,
                    )
                )
            else:
                continue
            del self._pending[scope]
        return fresh, stale

    def _proof(self, intent: Intent) -> int | None:
        """Give when the beat was sent before which the intent cannot have been issued."""
        at = bisect_right(self._ticks, (intent.position.epoch, intent.tick)) - 1
        if at < 0 or self._ticks[at][0] != intent.position.epoch:
            return None
        return self._sent_us[at]

    def _opener(self) -> Opener:
        if self._open is None:
            raise WireError("no key is trusted here", code="W0202")
        return self._open

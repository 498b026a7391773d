"""Times one signed intent on its way: sealed, sent, at each agent, verified, answered, back at the ground."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import quantiles

from ripstop.agent.settings import Opener
from ripstop.core.clock import Clock
from ripstop.core.intent import Position
from ripstop.core.wire.envelope import Ed25519Signer, Envelope, EnvelopeType, Keyring, open_envelope
from ripstop.lab.report.schema import Dispatch

_SEALS = 21


@dataclass(frozen=True, slots=True)
class _Arrival:
    """When an agent began and ended to verify an intent, in microseconds."""

    began_us: int
    ended_us: int


@dataclass(slots=True)
class Stopwatch:
    """Openers that note when each agent verified which intent; times in microseconds since `begins_us`."""

    keyring: Keyring
    fleet: str
    clock: Clock
    begins_us: int = 0
    _arrivals: dict[Position, dict[str, _Arrival]] = field(default_factory=dict)

    def opener(self, agent: str) -> Opener:
        """Give an agent an opener of its own: each verifies for itself."""

        def check(kind: EnvelopeType, data: bytes) -> Envelope:
            began_us = self._now_us()
            envelope = open_envelope(self.keyring, self.fleet, kind, data)
            if kind is EnvelopeType.INTENT:
                at = Position(envelope.epoch, envelope.generation)
                arrivals = self._arrivals.setdefault(at, {})
                arrivals.setdefault(agent, _Arrival(began_us, self._now_us()))
            return envelope

        return check

    def _now_us(self) -> int:
        return self.clock.now().wall_us - self.begins_us

    def dispatch(
        self, position: Position, sent_us: int, answers: Mapping[str, int], sealing: tuple[Ed25519Signer, int]
    ) -> Dispatch | None:
        """Sum up an intent's way; None where nobody has answered it.

        Args:
            position: of the intent.
            sent_us: when it was issued.
            answers: when the ground took up each agent's answer; the agent's first one counts.
            sealing: the key, and the size of what it signed: sealing is timed again on as many bytes.
        """
        arrivals = self._arrivals.get(position, {})
        both = [(arrivals[agent], at_us) for agent, at_us in answers.items() if agent in arrivals]
        if not both:
            return None
        return Dispatch(
            sent_us / 1e6,
            len(both),
            self._sign_ms(*sealing),
            *_p50_p95([(arrival.began_us - sent_us) / 1e3 for arrival, _ in both]),
            *_p50_p95([(arrival.ended_us - arrival.began_us) / 1e3 for arrival, _ in both]),
            *_p50_p95([(at_us - arrival.ended_us) / 1e3 for arrival, at_us in both]),
            *_p50_p95([(at_us - sent_us) / 1e3 for _, at_us in both]),
        )

    def _sign_ms(self, signer: Ed25519Signer, size: int) -> float:
        took = []
        for _ in range(_SEALS):
            began_us = self._now_us()
            signer.sign(bytes(size))
            took.append(self._now_us() - began_us)
        return sorted(took)[_SEALS // 2] / 1e3


def _p50_p95(values: Sequence[float]) -> tuple[float, float]:
    if len(values) == 1:
        return values[0], values[0]
    cuts = quantiles(values, n=20, method="inclusive")
    return cuts[9], cuts[18]

"""The stops that stand in a fleet: taken from operators, sent on, and told again to agents that come back.

The ground commands none of this: a stop is signed by a stop key, its end by two release keys, and agents
check that themselves. What the ground adds is reach, for an agent that was away hears of it when it returns,
and the record.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from ripstop.core.errors import WireError
from ripstop.core.messages import LIFT_SIGNATURES
from ripstop.core.node import Append, Effect, Report, Scalar, Send
from ripstop.core.subjects import Subjects
from ripstop.core.wire.envelope import Keyring
from ripstop.core.wire.token import Token, open_token

STREAM: Final = "stops"
_MOST = 16  # as many as an agent's switch holds
_REMEMBERED = 64


@dataclass(slots=True)
class StopDesk:
    """Holds every stop that stands, and who has signed to lift which.

    Args:
        subjects: the fleet's.
        keyring: the keys of today: what an exchanged key has signed is sent no more.
        is_due: whether somebody has come back since what stands was told.
    """

    subjects: Subjects
    keyring: Keyring
    stops: dict[str, bytes] = field(default_factory=dict)
    lifts: dict[str, dict[bytes, bytes]] = field(default_factory=dict)
    is_due: bool = False

    def restore(self, record: bytes) -> None:
        """Take a token from the record; what does not hold today stands no more."""
        try:
            self._keep(self._checked(record, None), record)
        except WireError:
            return

    def take(self, data: bytes, is_member: Callable[[str], bool]) -> tuple[Token, list[Effect]]:
        """Take a token that an operator hands over.

        Raises:
            WireError: what opening it raises; W0207 for an agent that is not of the fleet, W0901 for a stop
                whose name was lifted, W0903 too many, W0906 two stops of one name.
        """
        token = self._checked(data, is_member)
        is_news = self._keep(token, data)
        told: dict[str, Scalar] = {
            "id": token.id, "scope": token.scope, "reason": token.reason, "key": token.key_id.hex(),
        }  # fmt: skip
        if token.is_lift:
            told["signatures"] = self.signatures(token.id)
        out: list[Effect] = [Send(self.subjects.stop, data)]
        if is_news:
            out += [Append(STREAM, data), Report("stop.lifting" if token.is_lift else "stop.sent", told)]
        return token, out

    def signatures(self, name: str) -> int:
        """Count the keys that have signed to lift a latch."""
        return len(self.lifts.get(name, ()))

    def standing(self) -> list[Effect]:
        """Tell all agents again what stands, once for all that came back; who has it takes no notice."""
        if not self.is_due:
            return []
        self.is_due = False
        tokens = [*self.stops.values(), *(lift for lifts in self.lifts.values() for lift in lifts.values())]
        return [Send(self.subjects.stop, token) for token in tokens]

    def _checked(self, data: bytes, is_member: Callable[[str], bool] | None) -> Token:
        token = open_token(self.keyring, self.subjects.fleet, data)
        if token.is_lift:
            return token
        kind, _, agent = token.scope.partition("-")
        if token.scope != "fleet" and (kind != "agent" or (is_member is not None and not is_member(agent))):
            raise WireError(f"scope `{token.scope[:64]}` is neither `fleet` nor an agent of it", code="W0207")
        if self.signatures(token.id) >= LIFT_SIGNATURES:
            raise WireError(f"stop `{token.id[:64]}` was lifted before", code="W0901")
        held = self.stops.get(token.id)
        if held is not None and held != data:
            raise WireError(f"another stop has the name `{token.id[:64]}`", code="W0906")
        if held is None and len(self.stops) >= _MOST:
            raise WireError(f"{_MOST} stops stand already", code="W0903")
        return token

    def _keep(self, token: Token, data: bytes) -> bool:
        """Remember a token; gives whether it is news."""
        if not token.is_lift:
            is_news = token.id not in self.stops
            self.stops[token.id] = data
            return is_news
        signed = self.lifts.setdefault(token.id, {})
        is_news = token.key_id not in signed
        signed.setdefault(token.key_id, data)
        if len(signed) >= LIFT_SIGNATURES:
            self.stops.pop(token.id, None)
        while len(self.lifts) > _REMEMBERED:
            del self.lifts[next(iter(self.lifts))]
        return is_news


def within(scope: str, agents: Sequence[str]) -> list[str]:
    """Give those of the agents that a scope means."""
    return [agent for agent in agents if scope in ("fleet", f"agent-{agent}")]

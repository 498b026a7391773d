"""The stop switch: pulled by hand or by a signed token, by whatever road; it latches, and works offline.

A token counts that a stop key has signed: one that the manifest in force names, or where it names none (or
there is no release yet), one that the agent was enrolled with. So a new release takes a lost key's power.

A latch is lifted when two different release keys have signed its name. A lifted latch cannot be pulled again:
the names of the last ones are remembered, and of what was forgotten since, the latest time of issue.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ripstop.core.clock import Instant
from ripstop.core.errors import WireError
from ripstop.core.messages import LIFT_SIGNATURES, StopLift, StopOrder
from ripstop.core.wire.envelope import (
    Envelope,
    EnvelopeType,
    Keyring,
    Role,
    TrustedKey,
    open_envelope,
)
from ripstop.core.wire.record import unpack

from .settings import Latch, Lifted, Opener, SwitchState

MOST_LATCHES = 16
_REMEMBERED = 64


class StopSwitch:
    """The latches of one agent.

    Args:
        fleet: whose tokens stop it.
        scopes: the scopes whose tokens stop it.
        opener: checks tokens; without one only the local switch works, and nothing lifts it.
    """

    def __init__(self, fleet: str, scopes: Sequence[str], opener: Opener | None) -> None:
        self.state = SwitchState()
        self._fleet = fleet
        self._scopes = scopes
        self._open = opener
        self._pulled = 0

    @property
    def is_stopped(self) -> bool:
        """Whether anything holds the switch."""
        return bool(self.state.latches)

    def pull(self, reason: str, agent: str, now: Instant) -> Latch:
        """Stop by hand; a switch that somebody has pulled by hand already keeps that latch."""
        held = next((latch for latch in self.state.latches if latch.is_local), None)
        if held is not None:
            return held
        self._pulled += 1
        latch = Latch(f"local-{agent}-{now.wall_us}-{self._pulled}", reason, now.wall_us, True, ())
        self._hold(latch)
        return latch

    def take(self, data: bytes, named: Sequence[bytes] = ()) -> Latch | None:
        """Take a stop token; None where its latch is held already.

        Args:
            data: the token's bytes.
            named: the stop keys that the manifest in force names; where there are some, no other counts.

        Raises:
            WireError: what opening an envelope raises, W0504 for another scope, W0901 lifted before, W0902
                malformed, W0903 too many latches.
        """
        envelope = self._opened(data, named)
        order = unpack(StopOrder, envelope.body)
        if order.scope != envelope.scope or not order.id or order.id.startswith("local-"):
            raise WireError("a stop token disagrees with its envelope", code="W0902")
        if order.scope not in self._scopes:
            raise WireError(f"meant for scope `{order.scope}`", code="W0504")
        if any(latch.id == order.id for latch in self.state.latches):
            return None
        if order.issued_us <= self.state.old_us or any(it.id == order.id for it in self.state.lifted):
            raise WireError(f"stop `{order.id[:64]}` was lifted before", code="W0901")
        if len(self.state.latches) >= MOST_LATCHES:
            raise WireError(f"the switch is held by {MOST_LATCHES} latches already", code="W0903")
        latch = Latch(order.id, order.reason, order.issued_us, False, ())
        self._hold(latch)
        return latch

    def _opened(self, data: bytes, named: Sequence[bytes]) -> Envelope:
        if not named:
            return self._opener()(EnvelopeType.STOP, data)
        keys = Keyring.of(TrustedKey(key, Role.STOP) for key in named)
        try:
            return open_envelope(keys, self._fleet, EnvelopeType.STOP, data)
        except WireError as error:
            if error.code != "W0202":
                raise
        # no such stop key: any other key may still say what it is wrong for, but never stop
        envelope = self._opener()(EnvelopeType.STOP, data)
        raise WireError(f"key `{envelope.key_id.hex()}` is no stop key of the release in force", code="W0202")

    def _hold(self, latch: Latch) -> None:
        self.state = replace(self.state, latches=(*self.state.latches, latch))

    def lift(self, data: bytes) -> tuple[Latch, bool] | None:
        """Take one release key's word that a latch may go; give the latch, and whether it is gone.

        None where this says nothing new: the key has signed already, or the latch is gone.

        Raises:
            WireError: what opening an envelope raises, W0904 where no such latch is held.
        """
        envelope = self._opener()(EnvelopeType.LIFT, data)
        name = unpack(StopLift, envelope.body).id
        latch = next((latch for latch in self.state.latches if latch.id == name), None)
        if latch is None and any(gone.id == name for gone in self.state.lifted):
            return None
        if latch is None:
            raise WireError(f"no latch `{name[:64]}` is held", code="W0904")
        if envelope.key_id in latch.lifts:
            return None
        signed = tuple(sorted({*latch.lifts, envelope.key_id}))
        others = tuple(held for held in self.state.latches if held.id != name)
        if len(signed) < LIFT_SIGNATURES:
            latch = replace(latch, lifts=signed)
            self.state = replace(self.state, latches=(*others, latch))
            return latch, False
        lifted = (*self.state.lifted, Lifted(latch.id, latch.issued_us))
        forgotten, kept = lifted[:-_REMEMBERED], lifted[-_REMEMBERED:]
        old_us = max([self.state.old_us, *(item.issued_us for item in forgotten)])
        self.state = SwitchState(others, kept, old_us)
        return latch, True

    def _opener(self) -> Opener:
        if self._open is None:
            raise WireError("no key is trusted here", code="W0202")
        return self._open

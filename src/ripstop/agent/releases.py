"""Which release is in force: which may come, what a restart goes back to, and what holds once it is too old.

A release grows old in two ways. Its bundle *expires* at a wall time of its own and then its safe mode holds.
A policy becomes *stale* when the ground has not confirmed the release for the policy's `max_staleness`; an
agent without a ground counts from when the bundle was issued. Ages run on the monotonic clock: a wall clock
that jumps makes no policy stale.
"""

from __future__ import annotations

from dataclasses import field

from ripstop.core.clock import Instant
from ripstop.core.errors import WireError
from ripstop.core.messages import Bundle, SafeMode
from ripstop.core.value import dataclass
from ripstop.core.wire.bundle import open_bundle

from .restraint import Restraint
from .settings import NodeSettings, Opener, SavedState
from .vm import PolicyVM

_SAVE_SHARE = 8  # a confirmation is saved once it is newer by this share of the shortest age


@dataclass(frozen=True, slots=True)
class Age:
    """What the release's age brings: restraints with the actions they deny (None: all but the failsafes).

    `stale` counts the stale policies, `orders_failsafe` says that the failsafe actions are due, `next_us`
    when this changes by itself.
    """

    restraints: dict[Restraint, tuple[str, ...] | None] = field(default_factory=dict)
    is_expired: bool = False
    stale: int = 0
    orders_failsafe: bool = False
    next_us: int | None = None


class Releases:
    """The release in force on one agent.

    `floor` is the least counter that may still come: it never falls, whatever the disk has lost.
    """

    def __init__(self, settings: NodeSettings, vm: PolicyVM, opener: Opener | None) -> None:
        self.floor = 0
        self.is_untrusted = False
        self._fleet = settings.fleet
        self._vm = vm
        self._open = opener
        self._bundle: Bundle | None = None
        self._heard_us = 0
        self._confirmed = (0, 0)
        self._saved_us: int | None = None

    def read(self, data: bytes, now: Instant, *, is_own: bool = False) -> Bundle | None:
        """Check a bundle; None where it is the one in force.

        Args:
            data: its bytes.
            now: the clocks.
            is_own: whether it comes from the agent's own disk: it may then be older, and expired.

        Raises:
            WireError: W0202 without a trusted key, what `open_bundle` raises, W0601 older, W0602 expired,
                W0604 another content of the same number.
        """
        if self._open is None:
            raise WireError("no key is trusted here", code="W0202")
        bundle = open_bundle(self._open, data)
        if bundle.fleet != self._fleet:
            raise WireError(f"a bundle for fleet `{bundle.fleet}`", code="W0205")
        if self._bundle is not None and bundle.counter == self._bundle.counter:
            if bundle != self._bundle:
                raise WireError(f"another release is numbered {bundle.counter}", code="W0604")
            return None
        if not is_own:
            if bundle.counter < self.floor:
                raise WireError(f"release {bundle.counter} is older than {self.floor}", code="W0601")
            if bundle.expires_us and now.wall_us >= bundle.expires_us:
                raise WireError(f"release {bundle.counter} has expired", code="W0602")
        return bundle

    @property
    def stop_keys(self) -> tuple[bytes, ...]:
        """The public keys that the manifest in force names for stopping; empty where it names none."""
        return self._bundle.stop_keys if self._bundle is not None else ()

    def adopt(self, bundle: Bundle, now: Instant) -> None:
        """Put a bundle in force that was read here.

        Raises:
            PolicyError: it does not load or does not fit; the last good one stays.
        """
        self._vm.adopt(bundle)
        self._bundle = bundle
        self.floor = max(self.floor, bundle.counter, bundle.minimum)
        self.is_untrusted = False
        issued_us = now.mono_us - max(0, now.wall_us - bundle.issued_us)
        self._heard_us = max(issued_us, self._heard_us) if self._confirmed[0] else issued_us

    # ---- age --------------------------------------------------------------------------------------------

    def confirm(self, heard_us: int, now: Instant) -> bool:
        """Take the ground's word, last given at `heard_us`, that this release is in force.

        Returns:
            Whether that is news enough to be saved.
        """
        if heard_us <= self._confirmed[0]:
            return False
        self._heard_us = max(self._heard_us, heard_us)
        self._confirmed = (heard_us, now.wall_us - (now.mono_us - heard_us))
        ages = self._ages_us()
        if not ages or (self._saved_us is not None and heard_us - self._saved_us < min(ages) / _SAVE_SHARE):
            return False
        self._saved_us = heard_us
        return True

    @property
    def confirmed(self) -> tuple[int, int]:
        """When the ground last confirmed the release: monotonic and wall time, zeros for never."""
        return self._confirmed

    def restore(self, saved: SavedState | None, now: Instant) -> None:
        """Take over what was saved, before the bundles of the disk are read."""
        self._heard_us = now.mono_us
        if saved is None:
            return
        self.floor = max(self.floor, saved.floor)
        if saved.heard_wall_us:
            is_same_boot = saved.boot == now.boot
            ago_us = now.mono_us - saved.heard_mono_us if is_same_boot else now.wall_us - saved.heard_wall_us
            self._heard_us = now.mono_us - max(0, ago_us)
            self._confirmed = (self._heard_us, saved.heard_wall_us)

    def _ages_us(self) -> list[int]:
        return [round(p.max_staleness.age_s * 1e6) for p in self._vm.policies if p.max_staleness is not None]

    def age(self, now: Instant) -> Age:
        """Say what the release's age brings now."""
        restraints: dict[Restraint, tuple[str, ...] | None] = {}
        modes: list[SafeMode] = []
        ends: list[int] = []
        expires_us = self._bundle.expires_us if self._bundle is not None else 0
        is_expired = 0 < expires_us <= now.wall_us
        if self._bundle is not None and is_expired:
            modes.append(self._bundle.safe_mode)
            if self._bundle.safe_mode is not SafeMode.KEEP:
                restraints[Restraint.EXPIRED] = None
        elif expires_us:
            ends.append(now.mono_us + expires_us - now.wall_us)
        stale: list[tuple[SafeMode, tuple[str, ...] | None]] = []
        for policy in self._vm.policies:
            if policy.max_staleness is not None:
                end_us = self._heard_us + round(policy.max_staleness.age_s * 1e6)
                if now.mono_us < end_us:
                    ends.append(end_us)
                else:
                    stale.append((policy.max_staleness.mode, policy.guards))
        denied = [guards for mode, guards in stale if mode is not SafeMode.KEEP]
        if denied:
            restraints[Restraint.STALE] = _union(denied)
        if self.is_untrusted:
            restraints[Restraint.UNTRUSTED] = None
        modes += [mode for mode, _ in stale]
        return Age(restraints, is_expired, len(stale), SafeMode.FAILSAFE in modes, min(ends, default=None))


def _union(guards: list[tuple[str, ...] | None]) -> tuple[str, ...] | None:
    named = [actions for actions in guards if actions is not None]
    if len(named) < len(guards):
        return None
    return tuple(sorted({action for actions in named for action in actions}))

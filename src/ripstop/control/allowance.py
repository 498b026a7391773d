"""How much an agent may say: what it sends is kept as evidence, so a flood would fill the ground's disk."""

from __future__ import annotations

from dataclasses import dataclass, field

from ripstop.core.errors import WireError

RATE_BYTES_S = 65_536
LEDGER_BYTES_S = 1 << 20
BURST_BYTES = 2 << 20  # the greatest report of work, and what was buffered while the link was down
BACKLOG_BYTES = 128 << 20  # of segments after a silence: twice what an agent's ledger holds by default
MESSAGE_BYTES = 256  # what a message costs besides its bytes: it is decoded, logged, kept


@dataclass(slots=True)
class Allowance:
    """A bucket of bytes for each agent, in the control plane's monotonic time."""

    _left: dict[str, tuple[float, int]] = field(default_factory=dict)

    def spend(self, agent: str, size: int, now_us: int) -> None:
        """Take a message's bytes out of its sender's bucket.

        Raises:
            WireError: W0210, it does not hold as many.
        """
        left, since_us = self._left.get(agent, (float(BURST_BYTES), now_us))
        left = min(BURST_BYTES, left + (now_us - since_us) * RATE_BYTES_S / 1e6)
        cost = size + MESSAGE_BYTES
        if cost > left:
            self._left[agent] = left, now_us
            raise WireError(f"agent sends more than {RATE_BYTES_S // 1024} KiB a second", code="W0210")
        self._left[agent] = left - cost, now_us


@dataclass(slots=True)
class LedgerAllowance:
    """How fast an agent may hand its ledger over; what comes faster waits at the agent, and nothing is lost.

    Whatever is in the bucket lets a segment pass, whole; what is then owed closes it until time has paid. So
    a short segment never passes before a long one that was put off. An agent keeps what has no receipt, and
    sends it again from the oldest; when its own share of the disk is full, it counts its routine permissions.

    Args:
        rate_bytes_s: for each agent.
    """

    rate_bytes_s: int
    _left: dict[str, tuple[float, int]] = field(default_factory=dict)

    def takes(self, agent: str, size: int, now_us: int) -> bool:
        """Whether a segment may be taken now; it costs only if it may."""
        left, since_us = self._left.get(agent, (float(BACKLOG_BYTES), now_us))
        left = min(BACKLOG_BYTES, left + (now_us - since_us) * self.rate_bytes_s / 1e6)
        is_open = left > 0.0
        self._left[agent] = (left - size if is_open else left), now_us
        return is_open

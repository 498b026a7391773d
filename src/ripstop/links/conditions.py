"""What a network in virtual time does to messages and clocks."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Conditions:
    """What the network does to what it carries.

    `delay_s` is every message's least delay from sender to receiver; `jitter_s` the mean of an exponential
    one on top, for each receiver apart. `loss` and `reorder` are probabilities for each receiver: a lost
    message never arrives, a reordered one is held up by `reorder_s` on average and may be overtaken.
    `store_s` and `sync_s` are what a durable write and a disk's sync take.
    """

    delay_s: float = 0.001
    jitter_s: float = 0.0
    loss: float = 0.0
    reorder: float = 0.0
    reorder_s: float = 0.05
    store_s: float = 0.002
    sync_s: float = 0.002


@dataclass(frozen=True, slots=True)
class ClockSkew:
    """How a node's clocks differ from true time: constant shifts, and a drift of both."""

    wall_us: int = 0
    mono_us: int = 0
    drift_ppm: float = 0.0


@dataclass(slots=True)
class Counts:
    """How many messages were sent, delivered and lost on the way (loss, partition, broken connection)."""

    sent: int = 0
    delivered: int = 0
    lost: int = 0

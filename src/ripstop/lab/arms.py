"""The five arms of an experiment: the same seed, with or without the fault and each layer of governance."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


@dataclass(frozen=True, slots=True)
class Layers:
    """What an arm has: the fault, the policies and breakers on the agents, the control plane."""

    fault: bool
    local: bool
    ground: bool

    @property
    def governed(self) -> bool:
        """Whether agents ride along at all."""
        return self.local or self.ground


class Arm(Enum):
    """An arm, by the name that reports use."""

    NO_FAULT = "no fault"
    UNGOVERNED = "ungoverned"
    LOCAL = "local"
    GLOBAL = "global"
    BOTH = "both"

    @property
    def layers(self) -> Layers:
        """What this arm has."""
        return _LAYERS[self]


_LAYERS = {
    Arm.NO_FAULT: Layers(fault=False, local=False, ground=False),
    Arm.UNGOVERNED: Layers(fault=True, local=False, ground=False),
    Arm.LOCAL: Layers(fault=True, local=True, ground=False),
    Arm.GLOBAL: Layers(fault=True, local=False, ground=True),
    Arm.BOTH: Layers(fault=True, local=True, ground=True),
}

"""Ripstop keeps one autonomous agent's fault from becoming the whole fleet's outage."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from ripstop.core.errors import missing_extra

if TYPE_CHECKING:
    from ripstop import policy as policy
    from ripstop import risk as risk
    from ripstop.agent import EWMA as EWMA
    from ripstop.agent import ActionVetoed as ActionVetoed
    from ripstop.agent import Agent as Agent
    from ripstop.agent import BreakerOpen as BreakerOpen
    from ripstop.agent import BreakerVetoed as BreakerVetoed
    from ripstop.agent import CircuitBreaker as CircuitBreaker
    from ripstop.agent import PolicyVM as PolicyVM
    from ripstop.backends import compile as compile  # noqa: A004 - the public name
    from ripstop.core.decision import Decision as Decision
    from ripstop.core.decision import Verdict as Verdict
    from ripstop.policy import load as load

__version__ = "0.1.0"

# Where each public name lives. A name is loaded when it is first asked for: the base has no third-party
# package, and nobody pays for a layer that is not used. An empty name is the module itself.
_HOMES = {
    "ActionVetoed": ("ripstop.agent", "ActionVetoed"),
    "Agent": ("ripstop.agent", "Agent"),
    "BreakerOpen": ("ripstop.agent", "BreakerOpen"),
    "BreakerVetoed": ("ripstop.agent", "BreakerVetoed"),
    "CircuitBreaker": ("ripstop.agent", "CircuitBreaker"),
    "Decision": ("ripstop.core.decision", "Decision"),
    "EWMA": ("ripstop.agent", "EWMA"),
    "PolicyVM": ("ripstop.agent", "PolicyVM"),
    "Verdict": ("ripstop.core.decision", "Verdict"),
    "compile": ("ripstop.backends", "compile"),
    "load": ("ripstop.policy", "load"),
    "policy": ("ripstop.policy", ""),
    "risk": ("ripstop.risk", ""),
}

__all__ = [
    "EWMA",
    "ActionVetoed",
    "Agent",
    "BreakerOpen",
    "BreakerVetoed",
    "CircuitBreaker",
    "Decision",
    "PolicyVM",
    "Verdict",
    "__version__",
    "compile",
    "load",
    "policy",
    "risk",
]


def __getattr__(name: str) -> object:
    """Load a public name on first use (PEP 562)."""
    if name not in _HOMES:
        raise AttributeError(f"module `ripstop` has no attribute `{name}`")
    home, attribute = _HOMES[name]
    try:
        module = importlib.import_module(home)
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package == "ripstop":
            raise
        raise missing_extra(package, "risk") from error
    value: object = getattr(module, attribute) if attribute else module
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES])

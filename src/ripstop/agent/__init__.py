"""What rides along with an agent: policy VM, monitor, breaker, ledger, and the node that holds them."""

from typing import TYPE_CHECKING

from ripstop.core.ondemand import on_demand

from .agent import Agent
from .breaker import BreakerOpen, BreakerSettings, BreakerState
from .circuit import CircuitBreaker, Outcomes
from .circuits import Circuits
from .detect import Finding, Monitor
from .disk import Store
from .ladder import LadderSettings, Response, Rung
from .ledger import FileLedger
from .memory import MemoryLedger
from .node import AgentNode
from .responder import Order
from .sampler import SamplerSettings
from .settings import NodeSettings, Restored
from .vetoes import ActionVetoed, BreakerVetoed
from .vm import PolicyVM
from .voice import Burden

if TYPE_CHECKING:
    from .bulkhead import Bulkhead, BulkheadFull, BulkheadSettings, RetryBudget, RetrySettings
    from .detect import EWMA, Cause, Checks, Coupling, ForecastMonitor, Witnesses

# What stands beside an agent, for those who want it.
__getattr__, __dir__ = on_demand(
    __name__,
    dict.fromkeys(
        ("Bulkhead", "BulkheadFull", "BulkheadSettings", "RetryBudget", "RetrySettings"), "bulkhead"
    )
    | dict.fromkeys(("EWMA", "Cause", "Checks", "Coupling", "ForecastMonitor", "Witnesses"), "detect"),
)

__all__ = [
    "EWMA",
    "ActionVetoed",
    "Agent",
    "AgentNode",
    "BreakerOpen",
    "BreakerSettings",
    "BreakerState",
    "BreakerVetoed",
    "Bulkhead",
    "BulkheadFull",
    "BulkheadSettings",
    "Burden",
    "Cause",
    "Checks",
    "CircuitBreaker",
    "Circuits",
    "Coupling",
    "FileLedger",
    "Finding",
    "ForecastMonitor",
    "LadderSettings",
    "MemoryLedger",
    "Monitor",
    "NodeSettings",
    "Order",
    "Outcomes",
    "PolicyVM",
    "Response",
    "Restored",
    "RetryBudget",
    "RetrySettings",
    "Rung",
    "SamplerSettings",
    "Store",
    "Witnesses",
]

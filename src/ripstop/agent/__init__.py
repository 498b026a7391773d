"""What rides along with an agent: policy VM, monitor, breaker, ledger, and the node that holds them."""

from .agent import Agent
from .breaker import BreakerOpen, BreakerSettings, BreakerState
from .bulkhead import Bulkhead, BulkheadFull, RetryBudget
from .circuit import CircuitBreaker, Circuits, Outcomes
from .detect import EWMA, Cause, Coupling, Finding, ForecastMonitor, Monitor, Witnesses
from .disk import Store
from .ladder import LadderSettings, Response, Rung
from .ledger import FileLedger, MemoryLedger
from .node import AgentNode
from .responder import Order
from .settings import NodeSettings, Restored
from .vetoes import ActionVetoed, BreakerVetoed
from .vm import PolicyVM
from .voice import Burden

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
    "Burden",
    "Cause",
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
    "Rung",
    "Store",
    "Witnesses",
]

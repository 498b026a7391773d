"""What rides along with an agent: policy VM, monitor, breaker, ledger, and the node that holds them."""

from .agent import Agent
from .breaker import BreakerOpen, BreakerSettings, BreakerState
from .bulkhead import Bulkhead, BulkheadFull, RetryBudget
from .circuit import CircuitBreaker, Circuits, Outcomes
from .detect import Cause, Coupling, ForecastMonitor, Monitor, Witnesses
from .disk import Store
from .ledger import FileLedger, MemoryLedger
from .monitor import EWMA, Finding
from .node import AgentNode
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
    "MemoryLedger",
    "Monitor",
    "NodeSettings",
    "Outcomes",
    "PolicyVM",
    "Restored",
    "RetryBudget",
    "Store",
    "Witnesses",
]

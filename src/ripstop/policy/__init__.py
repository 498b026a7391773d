"""The policy language: what a policy says, read strictly, checked, and given a meaning."""

from typing import TYPE_CHECKING

from ripstop.core.ondemand import on_demand
from ripstop.policy.bounds import Bounds, bounds
from ripstop.policy.bundle import Bundle, make_bundle
from ripstop.policy.diagnostics import CODES, Finding, PolicyRejectedError
from ripstop.policy.document import Policy
from ripstop.policy.evaluate import apply
from ripstop.policy.state import State
from ripstop.policy.values import JsonLogicError

if TYPE_CHECKING:
    from ripstop.policy.loader import Checked, check, find_vocabulary, load, load_vocabulary
    from ripstop.policy.margin import Margin

# Reading documents takes the parsers, the lints and the printer; who only decides does without.
__getattr__, __dir__ = on_demand(
    __name__,
    {
        "Checked": "loader",
        "Margin": "margin",
        "check": "loader",
        "find_vocabulary": "loader",
        "load": "loader",
        "load_vocabulary": "loader",
    },
)

__all__ = [
    "CODES",
    "Bounds",
    "Bundle",
    "Checked",
    "Finding",
    "JsonLogicError",
    "Margin",
    "Policy",
    "PolicyRejectedError",
    "State",
    "apply",
    "bounds",
    "check",
    "find_vocabulary",
    "load",
    "load_vocabulary",
    "make_bundle",
]

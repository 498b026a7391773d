"""The policy language: what a policy says, read strictly, checked, and given a meaning."""

from ripstop.policy.bounds import Bounds, bounds
from ripstop.policy.bundle import Bundle, make_bundle
from ripstop.policy.diagnostics import CODES, Finding, PolicyRejectedError
from ripstop.policy.document import Policy
from ripstop.policy.evaluate import apply
from ripstop.policy.loader import Checked, check, find_vocabulary, load, load_vocabulary
from ripstop.policy.margin import Margin
from ripstop.policy.state import State
from ripstop.policy.values import JsonLogicError

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

"""The policy language: what a policy says, read strictly, checked, and given a meaning."""

from ripstop.policy.bundle import Bundle, make_bundle
from ripstop.policy.diagnostics import CODES, Finding, PolicyRejectedError
from ripstop.policy.document import Policy
from ripstop.policy.evaluate import apply
from ripstop.policy.loader import Checked, check, find_vocabulary, load, load_vocabulary
from ripstop.policy.state import State
from ripstop.policy.values import JsonLogicError

__all__ = [
    "CODES",
    "Bundle",
    "Checked",
    "Finding",
    "JsonLogicError",
    "Policy",
    "PolicyRejectedError",
    "State",
    "apply",
    "check",
    "find_vocabulary",
    "load",
    "load_vocabulary",
    "make_bundle",
]

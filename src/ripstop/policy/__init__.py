"""The policy language: what a policy says, read strictly, checked, and given a meaning."""

from ripstop.policy.evaluate import apply
from ripstop.policy.values import JsonLogicError

__all__ = ["JsonLogicError", "apply"]

"""What is raised when an action is not allowed."""

from __future__ import annotations

from ripstop.core.decision import Decision, Verdict
from ripstop.core.errors import RipstopError

from .breaker import BreakerOpen, BreakerState
from .restraint import Restraint


class ActionVetoed(RipstopError, PermissionError):  # noqa: N818 - the name that users know
    """The action may not be taken; `decision` says why. Nothing has been done."""

    def __init__(self, decision: Decision) -> None:
        verb = "limited" if decision.verdict is Verdict.LIMIT else "denied"
        reasons = "; ".join(": ".join(filter(None, (it.policy, it.text))) for it in decision.reasons)
        RipstopError.__init__(
            self, f"`{decision.action}` is {verb}{': ' if reasons else ''}{reasons}", code="A0201"
        )
        self.decision = decision


class BreakerVetoed(ActionVetoed, BreakerOpen):
    """The action may not be taken because the agent's own breaker is open: a `RuntimeError` as well."""

    def __init__(self, decision: Decision, state: BreakerState, retry_s: float | None) -> None:
        ActionVetoed.__init__(self, decision)
        self.name = "anomaly"
        self.state = state
        self.retry_s = retry_s


def is_restrained_by_breaker(decision: Decision) -> bool:
    """Whether the breaker is among the reasons of a decision."""
    return any(reason.policy == Restraint.BREAKER.policy_id for reason in decision.reasons)

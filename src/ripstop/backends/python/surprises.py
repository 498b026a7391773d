"""What generated code calls, and how it leaves when the exact evaluator has to take over."""

from __future__ import annotations

from collections.abc import Mapping
from math import fmod, isfinite

from ripstop.policy.eager import EAGER


class Deopt(Exception):  # noqa: N818 (a jump, not an error)
    """Leaves generated code; the exact evaluator takes over."""


def finite(value: float) -> float:
    """Give a finite number back."""
    if isfinite(value):
        return value
    raise Deopt


def divide(left: float, right: float) -> float:
    """Divide, or leave the generated code."""
    if right == 0:
        raise Deopt
    return finite(left / right)


def remainder(left: float, right: float) -> float:
    """Give the remainder, or leave the generated code."""
    if right == 0:
        raise Deopt
    return fmod(left, right)


def ascii_text(text: str) -> str:
    """Give a text back that is plain ASCII, or leave the generated code."""
    if text.isascii():
        return text
    raise Deopt


HELPERS: Mapping[str, object] = {
    "_finite": finite,
    "_divide": divide,
    "_remainder": remainder,
    "_ascii": ascii_text,
    "_numbers": frozenset((float, int, bool)),
    "_number": (float, int),
    "_contains": EAGER["in"],
    "_Deopt": Deopt,
}

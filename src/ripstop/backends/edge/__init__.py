"""The edge profile: what Wasm, C and columns share, from typed expressions to numbers, truths and checks."""

from ripstop.backends.edge.inputs import Input
from ripstop.backends.edge.program import (
    EdgePolicy,
    EdgeProgram,
    Engine,
    actions_of,
    decision_program,
    texts_of,
    verdict_program,
)
from ripstop.backends.edge.translate import OUTSIDE, TRANSLATIONS

__all__ = [
    "OUTSIDE",
    "TRANSLATIONS",
    "EdgePolicy",
    "EdgeProgram",
    "Engine",
    "Input",
    "actions_of",
    "decision_program",
    "texts_of",
    "verdict_program",
]

"""A device with policies that remember: a program of an edge engine with its own memory, driven from Python.

It is what a small device does, step by step: samples come in, it decides by itself what windows say, consumes
budgets, and gives its memory away as bytes. Nothing of the past is kept here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import nan
from sys import float_info
from typing import Protocol, TypeAlias

from ripstop.backends.edge.host import Run, decision_value
from ripstop.backends.edge.inputs import Surprise
from ripstop.backends.edge.memory import Memory
from ripstop.backends.edge.program import (
    EdgeProgram,
    Engine,
    actions_of,
    costs_of,
    decision_program,
    texts_of,
    verdict_program,
)
from ripstop.backends.edge.spending import Remembering, given, remembering
from ripstop.backends.edge.steps import Asked
from ripstop.core.canonical import Json
from ripstop.core.errors import ConfigurationError
from ripstop.policy import reference
from ripstop.policy.bundle import Bundle
from ripstop.policy.state import State

_WORD = 2**63


class Board(Protocol):
    """What runs a module or a header that remembers, with numbers."""

    def start(self) -> None:
        """Forget everything."""
        ...

    def observe(self, t_us: int, sampled: Sequence[int], numbers: Sequence[float]) -> int:
        """Take samples, of the signals whose bits are set in words; give how many were late."""
        ...

    def run(self, program: int, t_us: int, numbers: Sequence[float]) -> Run:
        """Run a program."""
        ...

    def commit(self, number: int, t_us: int, costs: Sequence[float]) -> bool:
        """Consume what an action takes."""
        ...

    def save(self) -> bytes:
        """Give a snapshot."""
        ...

    def restore(self, content: bytes) -> bool:
        """Take a snapshot, unless it is not one of this memory."""
        ...


Boards: TypeAlias = "Callable[[Sequence[EdgeProgram], Remembering], Board]"


def programs_of(
    bundle: Bundle, engine: Engine, *, evidence: bool = True
) -> tuple[list[EdgeProgram], Remembering | None]:
    """Give what a module or a header holds: a decision for each guarded action, or the raw verdict.

    Raises:
        PolicyError: E0315 for a policy outside the engine's profile.
    """
    kept = remembering(bundle, engine)
    texts = texts_of(bundle)
    if not evidence:
        return [verdict_program(bundle.policies, engine, texts)], kept
    has_budgets = any(policy.budgets for policy in bundle.policies)
    return [
        decision_program(bundle, action, engine, texts, has_budgets=has_budgets)
        for action in actions_of(bundle)
    ], kept


class Device:
    """Policies that remember, compiled for one agent, with what they remember."""

    def __init__(self, bundle: Bundle, engine: Engine, boards: Boards) -> None:
        """Take a bundle.

        Args:
            bundle: the policies, for one agent.
            engine: which engine.
            boards: makes programs runnable.

        Raises:
            PolicyError: E0315 for a policy outside the engine's profile.
            ConfigurationError: C0013 where the policies have nothing to remember.
        """
        programs, kept = programs_of(bundle, engine)
        if kept is None:
            raise ConfigurationError(
                "the policies have nothing to remember",
                code="C0013",
                hint="`decide` needs no device for them",
            )
        self.bundle = bundle
        self.memory: Memory = kept.memory
        self.programs = {str(program.action): program for program in programs}
        self._kept = kept
        self._board = boards(programs, kept)
        self._numbers = {name: number for number, name in enumerate(self.programs)}
        committing = [name for name in self.programs if any(p.budgets for p in bundle.guarding(name))]
        self._commits = {name: number for number, name in enumerate(committing)}

    def observe(self, signals: Mapping[str, Json], t_us: int) -> int:
        """Take samples of one moment; give how many of watched signals were late, or impossibly far in time.

        A value that the program was not built for (an undeclared name that holds something else) is unusable.
        """
        looked = reference.Inputs(Bundle((), self.memory.vocabulary), "", signals, 0, {})
        numbers = []
        for load in self.memory.samples:
            each = self.memory.inputs[load]
            try:
                known = each.name in signals
                numbers.append(each.encode(looked.look(each.name), self.memory.texts) if known else 0.0)
            except Surprise:
                numbers.append(nan)
        sampled = dict.fromkeys(self.memory.words, 0)
        for asked in (Asked(n) for n, each in enumerate(self.memory.signals) if each.name in signals):
            sampled[asked.word] |= 1 << asked.bit
        return self._board.observe(_inside(t_us), list(sampled.values()), numbers)

    def decide(self, action: str, context: Mapping[str, Json], t_us: int, state: State | None = None) -> Run:
        """Decide about a guarded action: the verdict, and for each policy its status and evidence.

        Args:
            action: the action's name.
            context: the action's parameters, and signals outside of windows.
            t_us: the moment of the decision.
            state: the latest readings of signals outside of windows; nothing else of it is looked at.

        Raises:
            Surprise: when an undeclared name holds what the program was not built for.
        """
        name = action if action in self.programs else ""
        program = self.programs[name]
        readings = {} if state is None else state.readings
        inputs = reference.Inputs(self.bundle, action, context, t_us, readings)
        loads = given(program, has_memory=True)
        numbers = [decision_value(program.inputs[load], program, inputs) for load in loads]
        return self._board.run(self._numbers[name], _inside(t_us), numbers)

    def commit(self, action: str, context: Mapping[str, Json], t_us: int) -> bool:
        """Consume what an action takes of the budgets; False, and nothing taken, where that is too much."""
        name = action if action in self.programs else ""
        if name not in self._commits:
            return True
        costs = [context.get(cost) for cost in costs_of(self.bundle.guarding(action))]
        numbers = list(map(_number, costs))
        return self._board.commit(self._commits[name], _inside(t_us), numbers)

    def save(self) -> bytes:
        """Give what is remembered, as `edge.snapshots` lays it out."""
        return self._board.save()

    def restore(self, content: bytes) -> bool:
        """Go on from a snapshot; False, and nothing changed, where it is foreign, torn or malformed."""
        return self._board.restore(content)

    def forget(self) -> None:
        """Begin anew."""
        self._board.start()


def _number(cost: Json) -> float:
    """Give a cost as a number, NaN where it is none."""
    if isinstance(cost, bool) or not isinstance(cost, int | float):
        return nan
    return float(cost) if abs(cost) <= float_info.max else nan


def _inside(t_us: int) -> int:
    """Keep a time inside a word: what is farther away is as far as it can be."""
    return min(max(t_us, -_WORD), _WORD - 1)

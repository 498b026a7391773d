"""Runs policies over many recorded contexts at once: backtests, what-if questions, vacuity."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias, cast

import numpy as np
from numpy.typing import NDArray

from ripstop.backends.columns.evaluate import Numbers, Rows, Watched, WatchedTruth, watched_truth
from ripstop.backends.columns.margins import ColumnMargins, Measure
from ripstop.backends.columns.plain import PlainTruth
from ripstop.backends.columns.table import Column, Table, count_rows, rows_of
from ripstop.backends.columns.view import Unusable, View
from ripstop.backends.edge.host import EdgeCompiled, Run
from ripstop.backends.edge.inputs import Look, Surprise
from ripstop.backends.edge.program import UNKNOWN_BIT, EdgePolicy, EdgeProgram, Engine
from ripstop.core.canonical import Json
from ripstop.core.decision import Evidence, Verdict
from ripstop.policy import reference
from ripstop.policy.budgets import Bucket, Budget
from ripstop.policy.bundle import Bundle
from ripstop.policy.evaluate import Absent
from ripstop.policy.margin import margin
from ripstop.policy.state import State
from ripstop.policy.state_reading import Spent
from ripstop.policy.temporal import key_of

COLUMNS = Engine("columns")
Verdicts: TypeAlias = NDArray[np.int8]
_BLOCK = 1 << 14  # rows at a time: some columns of them lie in a core's cache; one bad value slows no others


@dataclass(frozen=True, slots=True)
class PolicyColumns:
    """What one policy says of each row.

    `permits` and `unknown` are about its rule, `active` and `assumed` (active because unknown) about each of
    its limits; `read` and `true` have a row for each atom.
    """

    policy: EdgePolicy
    permits: Rows
    unknown: Rows
    active: tuple[Rows, ...]
    assumed: tuple[Rows, ...]
    read: Rows
    true: Rows

    def status(self, row: int) -> int:
        """Give the status of a row, as `EdgePolicy` describes it."""
        status = int(self.permits[row]) | (UNKNOWN_BIT if self.unknown[row] else 0)
        for index, (active, assumed) in enumerate(zip(self.active, self.assumed, strict=True)):
            status |= (4 * int(active[row]) | 8 * int(assumed[row])) << 2 * index
        return status

    def code(self, row: int) -> int:
        """Give the evidence of a row as one number: bit 2i for a read atom i, 2i + 1 for one that held."""
        pairs = zip(self.read[:, row].tolist(), self.true[:, row].tolist(), strict=True)
        return sum((read + 2 * true) << 2 * index for index, (read, true) in enumerate(pairs))


@dataclass(frozen=True, slots=True)
class ColumnDecisions:
    """The decisions about one action for every row.

    `verdicts` holds the numbers of `Verdict`; `bounds` the limits in force on each parameter, infinite where
    open. `evidence(row)` is what `Decision.evidence` holds.
    """

    verdicts: Verdicts
    policies: tuple[PolicyColumns, ...]
    bounds: Mapping[str, tuple[Numbers, Numbers]]

    def __len__(self) -> int:
        return len(self.verdicts)

    def evidence(self, row: int) -> tuple[Evidence, ...]:
        """Give the evidence of one row."""
        return tuple(
            Evidence(each.policy.policy.digest, _bits(each.read[:, row]), _bits(each.true[:, row]))
            for each in self.policies
        )


def _bits(column: Rows) -> int:
    return sum(1 << index for index, value in enumerate(column.tolist()) if value)


@dataclass(frozen=True, slots=True)
class Room:
    """In which rows a budget leaves no room, and in which that is not known."""

    is_full: Rows
    is_unknown: Rows

    @classmethod
    def of(cls, budget: Budget, columns: Mapping[str, Column], rows: int, *, has_state: bool) -> Room:
        """Look at a budget that nothing has been spent of: deciding spends nothing."""
        if not has_state:
            return cls(np.zeros(rows, dtype=np.bool_), np.ones(rows, dtype=np.bool_))
        cost = budget.cost if isinstance(budget, Bucket) else 0
        named = _listed(columns[cost]) if isinstance(cost, str) and cost in columns else [None]
        costs = [{} if isinstance(each, Absent) else {str(cost): each} for each in named]
        found = [budget.has_room(Spent(), each, 0) for each in costs]
        is_full = np.array([each is False for each in found])
        is_unknown = np.array([each is None for each in found])
        return cls(np.broadcast_to(is_full, rows), np.broadcast_to(is_unknown, rows))


class ColumnsRunner:
    """Runs one program over arrays; called with numbers, over one row."""

    def __init__(self, program: EdgeProgram) -> None:
        self.decide = DecisionColumns(program)
        self._raw = RawColumns(program) if program.action is None else None

    def __call__(self, values: Sequence[float]) -> Run:
        """Run once."""
        columns = [np.array([value]) for value in values]
        if self._raw is not None:
            return Run(Verdict(int(self._raw(columns, 1)[0])))
        found = self.decide(columns, 1)
        statuses = tuple(each.status(0) for each in found.policies)
        return Run(Verdict(int(found.verdicts[0])), statuses, tuple(each.code(0) for each in found.policies))


class RawColumns:
    """Gives the raw verdict of each row: the least over the rules, UNKNOWN below all."""

    def __init__(self, program: EdgeProgram) -> None:
        self._inputs = program.inputs
        self._rules = [
            (PlainTruth(each.rule), watched_truth(each.rule, each.once), each.policy.effect == "forbid")
            for each in program.policies
        ]

    def __call__(self, columns: Sequence[Numbers], rows: int) -> Verdicts:
        """Evaluate the rules over the columns of the inputs."""
        with np.errstate(all="ignore"):
            if rows <= _BLOCK:
                return self._of_block(columns, rows)
            found = np.empty(rows, dtype=np.int8)
            for start in range(0, rows, _BLOCK):
                block = slice(start, min(start + _BLOCK, rows))
                found[block] = self._of_block([column[block] for column in columns], block.stop - start)
        return found

    def _of_block(self, columns: Sequence[Numbers], rows: int) -> Verdicts:
        least: Verdicts | None = None
        for plain, watched, is_forbidding in self._rules:
            holds, unknown = self._holds(plain, watched, columns, rows)
            if is_forbidding:
                np.logical_not(holds, holds)
            verdicts = holds.view(np.int8)
            np.add(verdicts, verdicts, verdicts)
            if unknown is not None:
                verdicts[unknown] = Verdict.UNKNOWN
            least = verdicts if least is None else np.minimum(least, verdicts)
        return np.zeros(rows, dtype=np.int8) if least is None else least

    def _holds(
        self, plain: PlainTruth, watched: WatchedTruth, columns: Sequence[Numbers], rows: int
    ) -> tuple[Rows, Rows | None]:
        """Give the truth of each row, in an array of its own, and the rows that are unknown if any are."""
        try:
            return plain(View(self._inputs, columns, rows)), None
        except Unusable:
            run = Watched(self._inputs, columns, rows, (), ())
            every = np.ones(rows, dtype=np.bool_)
            return watched(run, every, None).copy(), run.unknown


class DecisionColumns:
    """Decides about one action for every row."""

    def __init__(self, program: EdgeProgram) -> None:
        self._program = program
        self._policies = [_PolicyRun(program, policy) for policy in program.policies]

    def __call__(
        self, columns: Sequence[Numbers], rows: int, rooms: Sequence[Sequence[Room]] = ()
    ) -> ColumnDecisions:
        """Decide over the columns of the inputs; `rooms` are what each policy's budgets leave."""
        program = self._program
        settled = Verdict.ALLOW if program.settled is None else program.settled
        verdicts: Verdicts = np.full(rows, int(settled), dtype=np.int8)
        bounds = {name: (np.full(rows, -np.inf), np.full(rows, np.inf)) for name, _ in program.bounded}
        made = []
        with np.errstate(all="ignore"):
            for number, policy in enumerate(self._policies):
                found = policy(columns, rows, rooms[number] if rooms else ())
                made.append(found)
                if not program.is_failsafe:
                    np.multiply(verdicts, found.permits.view(np.int8), out=verdicts)
                _tighten(found, bounds)
            for name, given in program.bounded:
                low, high = bounds[name]
                value = columns[given]
                is_outside = ((low > -np.inf) | (high < np.inf)) & ~((value >= low) & (value <= high))
                verdicts[is_outside & (verdicts > Verdict.LIMIT)] = Verdict.LIMIT
                if not program.is_failsafe:
                    verdicts[low > high] = Verdict.DENY
        return ColumnDecisions(verdicts, tuple(made), bounds)


class _PolicyRun:
    """Gives the status and the evidence of one policy."""

    def __init__(self, program: EdgeProgram, policy: EdgePolicy) -> None:
        self._inputs = program.inputs
        self._policy = policy
        self._rule = watched_truth(policy.rule, policy.once)
        self._whens = [watched_truth(when, policy.once) for when in policy.whens]
        self._atoms = len(policy.policy.program.atoms)
        self._shared = sorted(set(range(self._atoms)) - policy.once)

    def __call__(self, columns: Sequence[Numbers], rows: int, rooms: Sequence[Room]) -> PolicyColumns:
        policy = self._policy
        read, true = np.empty((2, self._atoms, rows), dtype=np.bool_)
        if self._shared:
            read[self._shared] = true[self._shared] = False
        run = Watched(self._inputs, columns, rows, list(read), list(true))
        holds = self._rule(run, np.ones(rows, dtype=np.bool_), None)
        permits = run.going(~holds) if policy.policy.effect == "forbid" else holds.copy()
        unknown = run.unknown
        if policy.permits_unknown and run.has_ended:
            permits = permits | unknown
        if rooms:
            permits, unknown = _spend(permits, unknown, rooms, permits_unknown=policy.permits_unknown)
        active, assumed = [], []
        for when in self._whens:
            run.begin()
            held = when(run, permits, None)
            active.append(held | run.unknown if run.has_ended else held.copy())
            assumed.append(run.unknown)
        return PolicyColumns(policy, permits, unknown, tuple(active), tuple(assumed), read, true)


def _spend(
    permits: Rows, unknown: Rows, rooms: Sequence[Room], *, permits_unknown: bool
) -> tuple[Rows, Rows]:
    """Deny the rows in which a budget leaves no room; the first such one settles the matter."""
    left = permits
    for room in rooms:
        unsure, full = left & room.is_unknown, left & room.is_full
        unknown = unknown | unsure
        permits = permits & ~full if permits_unknown else permits & ~(full | unsure)
        left = left & ~(full | unsure)
    return permits, unknown


def _tighten(found: PolicyColumns, bounds: Mapping[str, tuple[Numbers, Numbers]]) -> None:
    for active, rule in zip(found.active, found.policy.policy.limits, strict=True):
        for limit in rule.limits:
            low, high = bounds[limit.parameter]
            if limit.low is not None:
                np.maximum(low, limit.low, out=low, where=active)
            if limit.high is not None:
                np.minimum(high, limit.high, out=high, where=active)


class ColumnsCompiled(EdgeCompiled):
    """Policies compiled to NumPy.

    A column is an array of numbers or truths (NaN where a value is absent), or a sequence of values as a
    context holds them. A list is a sequence of lists; or an integer array of lengths under its name, and
    under `name.field` an array of shape (rows, items) for each field.
    """

    def __init__(self, bundle: Bundle) -> None:
        """Take a bundle.

        Raises:
            PolicyError: E0315 for a policy outside the engine's profile.
        """
        super().__init__(bundle, COLUMNS, ColumnsRunner)
        self._raw_columns = RawColumns(self._raw)

    def verdicts(self, columns: Mapping[str, Column], t_us: int | NDArray[np.int64] = 0) -> Verdicts:
        """Give the raw verdict of every row, as the numbers of `Verdict`.

        Args:
            columns: by name, all of one length.
            t_us: the moment, one for all or one for each row.
        """
        program, rows = self._raw, count_rows(columns)
        table = Table(columns, program.texts, rows, _seconds(t_us), ranged=False)
        found = self._raw_columns(table.all_numbers(program.inputs), rows)
        for row in table.surprising:
            context, at_us = rows_of(columns, row), _moment(t_us, row)
            found[row] = min(reference.verdict(policy, context, at_us) for policy in self.policies)
        return found

    def decisions(
        self,
        action: str,
        columns: Mapping[str, Column],
        t_us: int | NDArray[np.int64] = 0,
        *,
        is_trace: bool = False,
    ) -> ColumnDecisions:
        """Decide about an action for every row.

        Args:
            action: the action's name.
            columns: its parameters and the signals, by name, all of one length.
            t_us: the moment, one for all or one for each row.
            is_trace: the rows are what one agent observed, one after the other: each row's signals are
                observed at its moment, then it is decided, so that temporal operators have a past. Without
                it they are UNKNOWN.
        """
        program, runner = self._program(action)
        rows = count_rows(columns)
        table = Table(columns, program.texts, rows, _seconds(t_us), ranged=True)
        numbers = table.all_numbers(program.inputs)
        states: dict[int, State] = {}
        apart = set(table.surprising)
        if is_trace:
            apart |= _held_rows(program, columns, rows)
            states = self._walk(action, columns, t_us, numbers, apart)
        rooms = [
            [Room.of(budget, columns, rows, has_state=is_trace) for budget in each.policy.budgets]
            for each in program.policies
        ]
        found = cast("ColumnsRunner", runner).decide(numbers, rows, rooms)
        for row in sorted(apart):
            self._replace(found, action, row, (columns, _moment(t_us, row), states.get(row)))
        return found

    def margins(
        self, action: str, columns: Mapping[str, Column], t_us: int | NDArray[np.int64] = 0
    ) -> ColumnMargins:
        """Give how far the decision of every row is from changing, in shares of the declared ranges.

        Args:
            action: the action's name.
            columns: its parameters and the signals, by name, all of one length.
            t_us: the moment, one for all or one for each row.
        """
        rows, guarding = count_rows(columns), self.bundle.guarding(action)
        measure = Measure.of(self.bundle, action, columns, rows)
        found = measure.margins(guarding)
        places = {policy.id: place for place, policy in enumerate(guarding)}
        for row in (~measure.good).nonzero()[0].tolist():
            exact = margin(self.bundle, action, rows_of(columns, row), _moment(t_us, row))
            found.low[row], found.high[row] = exact.low, exact.high
            found.nearest[row] = places.get(exact.policy, -1)
        return found

    def _walk(
        self,
        action: str,
        columns: Mapping[str, Column],
        t_us: int | NDArray[np.int64],
        numbers: list[Numbers],
        apart: set[int],
    ) -> dict[int, State]:
        """Observe row after row, and put in what temporal operators recall at each.

        Args:
            action: the action's name.
            columns: what was observed.
            t_us: the moments.
            numbers: the inputs' numbers; those of temporal operators are written.
            apart: rows for the reference; those where a recalled value is a surprise are added.

        Returns:
            The state at each row that is left to the reference.
        """
        program = self.program(action)
        reads = reference.signals_read(self.bundle, action, self.bundle.guarding(action))
        names = dict.fromkeys((*self._watch.signals, *reads))
        values = {name: _listed(columns[name]) for name in names if name in columns}
        recalled = [
            (index, each, key_of(each.rule, self.vocabulary))
            for index, each in enumerate(program.inputs)
            if each.look is Look.RECALLED
        ]
        if not recalled and not apart:
            return {}
        state, states = self.start(), {}
        for row in range(count_rows(columns)):
            at_us = _moment(t_us, row)
            signals = {name: value for name in values if not isinstance(value := values[name][row], Absent)}
            state = state.observe(signals, at_us)
            recall = state.recall_keys(at_us)
            for index, each, key in recalled:
                try:
                    numbers[index][row] = each.encode(recall(key), program.texts)
                except Surprise:
                    apart.add(row)
            if row in apart:
                states[row] = state
        return states

    def _replace(
        self,
        found: ColumnDecisions,
        action: str,
        row: int,
        where: tuple[Mapping[str, Column], int, State | None],
    ) -> None:
        """Put in what the reference says of a row."""
        columns, at_us, state = where
        inputs = reference.inputs_of(self.bundle, action, rows_of(columns, row), at_us, state)
        outcomes = [reference.outcome_of(policy, inputs) for policy in self.bundle.guarding(action)]
        decision = reference.decision_of(inputs, outcomes, state)
        found.verdicts[row] = decision.verdict
        for each, evidence, outcome in zip(found.policies, decision.evidence, outcomes, strict=True):
            for index in range(len(each.read)):
                each.read[index, row] = bool(evidence.read >> index & 1)
                each.true[index, row] = bool(evidence.true >> index & 1)
            unknown = any(reason.code == "unknown" for reason in outcome.reasons)
            each.permits[row], each.unknown[row] = bool(outcome.verdict), unknown
            for index, active in enumerate(each.active):
                active[row] = index in outcome.active
        for name, (low, high) in found.bounds.items():
            limit = next((limit for limit in decision.limits if limit.parameter == name), None)
            low[row] = -np.inf if limit is None or limit.low is None else limit.low
            high[row] = np.inf if limit is None or limit.high is None else limit.high


def _held_rows(program: EdgeProgram, columns: Mapping[str, Column], rows: int) -> set[int]:
    """Give the rows of a trace in which an earlier sample may count: the reference knows which."""
    if any(each.max_age_s is not None for each in program.inputs):
        return set(range(rows))
    names = {each.name for each in program.inputs if each.name in columns}
    loose = [_listed(columns[name]) for name in names if not _is_plain(columns[name])]
    return {row for column in loose for row, value in enumerate(column) if isinstance(value, Absent)}


def _is_plain(column: Column) -> bool:
    return isinstance(column, np.ndarray) and column.dtype.kind != "O"


def _listed(column: Column) -> Sequence[Json | Absent]:
    return column.tolist() if isinstance(column, np.ndarray) else column


def _moment(t_us: int | NDArray[np.int64], row: int) -> int:
    return t_us if isinstance(t_us, int) else int(t_us[row])


def _seconds(t_us: int | NDArray[np.int64]) -> Numbers | float:
    return t_us / 1e6

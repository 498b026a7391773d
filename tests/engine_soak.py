"""Holds every engine to the reference over drawn (program, trace) pairs; run it for as long as you like.

.venv/bin/python tests/engine_soak.py --pairs 1000000 --seed 1 --progress soak.json

A program is a bundle of one to three policies. A trace is what was observed up to a moment (late and repeated
samples too) and the context of one action then; actions are done in between, which budgets take note of.
Temporal operators are held to the whole-trace reference. Modules and headers that remember take the same
samples one by one: the bytes that they keep are held to the state after each, and what they decide to the
reference.
With `--progress` a later call with the same seed goes on where this one ended.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from edge_memory import Shadow
from edge_programs import ACTIONS, VOCABULARY, Contexts, Programs, generator
from ripstop.backends.c99 import C99, build_boards, build_header, build_runners
from ripstop.backends.columns import COLUMNS
from ripstop.backends.columns.host import DecisionColumns, RawColumns
from ripstop.backends.edge import decision_program, verdict_program
from ripstop.backends.edge.device import Device, programs_of
from ripstop.backends.edge.host import decision_values, raw_values, status_bits
from ripstop.backends.edge.inputs import Surprise
from ripstop.backends.python import Compiled
from ripstop.backends.wasm import WASM
from ripstop.backends.wasm.host import WasmBoard, WasmRunner
from ripstop.policy import make_bundle, reference
from ripstop.policy.budgets import Quota
from ripstop.policy.reference_time import History
from ripstop.policy.state import Spent

PROGRAMS = 40  # of a batch; their C code is compiled in one go
TRACES = 200  # of a program
LONGEST_WALK = 8  # observations
CONTEXTS = 600  # of a batch


class DisagreementError(AssertionError):
    """An engine says something else than the reference."""


@dataclass(slots=True)
class Observed(History):
    """A history, and what budgets have consumed."""

    spent: dict[str, Spent] = field(default_factory=dict)

    def room(self, key, budget, context, t_us):
        return budget.has_room(self.spent.get(key, Spent()), context, max([t_us, *self.moments[-1:]]))


@dataclass(frozen=True)
class Pair:
    """A trace: the state that observing it gave, what the reference looks at, and the question asked then.

    `runs` are what devices said then, by engine and action; none where they could not be asked.
    """

    state: object
    observed: object
    context: dict[str, object]
    t_us: int
    runs: dict[tuple[str, str], object]


class Counted(Compiled):
    """The python engine, which counts how often it leaves its generated code."""

    exactly = 0

    def _exactly(self, *args):
        self.exactly += 1
        return super()._exactly(*args)


class Subject:
    """One bundle, made ready for every engine."""

    def __init__(self, policies, number: int) -> None:
        self.policies = policies
        self.bundle = make_bundle(policies, VOCABULARY)
        self.numbers = {policy.id: reference.number_atoms(policy) for policy in policies}
        self.python = Counted(self.bundle)
        self.actions = [action for action in ACTIONS if self.bundle.guarding(action)]
        self.programs = {action: decision_program(self.bundle, action, COLUMNS) for action in self.actions}
        self.raw = verdict_program(policies, COLUMNS)
        self.raw_columns = RawColumns(self.raw)
        self.is_temporal = any(policy.program.windows for policy in policies)
        self.has_budgets = any(policy.budgets for policy in policies)
        self.remembers = self.is_temporal or self.has_budgets
        self.wasm = {
            action: WasmRunner(decision_program(self.bundle, action, WASM)) for action in self.actions
        }
        self.wasm[None] = WasmRunner(verdict_program(policies, WASM))
        programs = [decision_program(self.bundle, action, C99) for action in self.actions]
        self.header = build_header([*programs, verdict_program(policies, C99)], f"s{number}")
        self.c99 = {}
        self.devices = {}
        self.board = None
        if self.remembers and self.actions:
            kept = programs_of(self.bundle, C99)
            self.board = build_header(kept[0], f"d{number}", kept[1])
            self.devices["wasm"] = Device(self.bundle, WASM, WasmBoard)


def draw(rng: random.Random, count: int) -> list[Subject]:
    """Draw bundles and compile them; the C code of all is one library."""
    programs = Programs(rng, remainder=rng.random() < 0.3)
    subjects = []
    for number in range(count):
        size = rng.choice([1, 1, 2, 3])
        subjects.append(Subject([programs.policy(10 * number + each) for each in range(size)], number))
    runners = iter(build_runners([subject.header for subject in subjects]))
    for subject in subjects:
        subject.c99 = {action: next(runners) for action in (*subject.actions, None)}
    remembering = [subject for subject in subjects if subject.board is not None]
    for subject, board in zip(remembering, build_boards([each.board for each in remembering]), strict=True):
        subject.devices["c99"] = Device(subject.bundle, C99, lambda programs, kept, board=board: board)
    return subjects


def walk(subject: Subject, contexts: list[dict[str, object]], rng: random.Random, count: int) -> list[Pair]:
    """Draw traces that begin alike: observe, and ask in between."""
    state, history, tracker = subject.python.start(), Observed(VOCABULARY), subject.python.track()
    t_us, samples = 0, rng.choice([0, 1, 2, 5, LONGEST_WALK])
    for device in subject.devices.values():
        device.forget()
    shadow = Shadow(next(iter(subject.devices.values())).memory, state) if subject.devices else None
    pairs = []
    for index in range(count):
        for _ in range(samples // count + (index < samples % count)):
            t_us = max(0, t_us + rng.choice([0, -1_000_000, rng.randint(0, 3_000_000)]))
            signals = some_of(rng.choice(contexts), rng)
            state = subject.python.observe(state, signals, t_us)
            tracker.observe(signals, t_us)
            if subject.is_temporal:
                history.observe(signals, t_us)
            if shadow is not None:
                take(subject, shadow, state, signals, t_us)
        observed = replace(history, moments=[*history.moments], snapshots=[*history.snapshots])
        observed.spent = state.spent
        at_us = max(t_us, state.t_us, 0) + rng.choice([0, 0, rng.randint(0, 6_000_000)])
        context = rng.choice(contexts)
        context = context if rng.random() < 0.5 else some_of(context, rng)
        runs = asked(subject, context, at_us, state)
        pairs.append(Pair(state, observed if subject.is_temporal else state, context, at_us, runs))
        if subject.has_budgets:
            state = commit(subject, shadow, state, pairs[-1], rng.choice(subject.actions or [""]))
            tracker = subject.python.track(state)
    if held(tracker.state) != held(state):
        raise DisagreementError(f"tracker: {held(tracker.state)} instead of {held(state)}")
    return pairs


def take(subject: Subject, shadow: Shadow, state, signals, t_us: int) -> None:
    """Let devices take what the state has taken, and hold their bytes to it."""
    shadow.follow(state)
    for engine, device in subject.devices.items():
        device.observe(signals, t_us)
        hold(engine, device, shadow, (signals, t_us))


def hold(engine: str, device: Device, shadow: Shadow, after: object) -> None:
    if device.save() != shadow.snapshot():
        raise DisagreementError(f"{engine} keeps other bytes than {held(shadow.state)} after {after}")


def asked(subject: Subject, context, t_us: int, state) -> dict[tuple[str, str], object]:
    """Ask devices about every action."""
    runs = {}
    for engine, device in subject.devices.items():
        for action in subject.actions:
            try:
                runs[engine, action] = device.decide(action, context, t_us, state)
            except Surprise:
                continue
    return runs


def commit(subject: Subject, shadow: Shadow, state, pair: Pair, action: str):
    """Do an action where it is allowed, everywhere alike."""
    decision = subject.python.decide(action, pair.context, pair.t_us, state)
    after = subject.python.commit(state, decision, pair.t_us)
    for engine, device in subject.devices.items():
        committed = device.commit(action, pair.context, pair.t_us) if decision.verdict else False
        if committed != (after is not None):
            raise DisagreementError(f"{engine}: {committed} for committing {action} at {pair.t_us}")
    if after is None or shadow is None:
        return state if after is None else after
    for key, (budget, _) in shadow.memory.budgets.items():
        if after.spent.get(key) is not state.spent.get(key) and isinstance(budget, Quota):
            shadow.spend(key, after.spent[key], budget.at_most)
    shadow.follow(after)
    for engine, device in subject.devices.items():
        hold(engine, device, shadow, (action, pair.t_us))
    return after


def held(state) -> str:
    return repr((state.readings, state.memories, state.t_us, state.dropped))


def some_of(context: dict[str, object], rng: random.Random) -> dict[str, object]:
    keep = rng.choice([0.3, 0.8, 1.0, 1.0, 1.0])
    return context if keep == 1.0 else {name: context[name] for name in context if rng.random() < keep}


def inputs_of(subject: Subject, action: str, pair: Pair) -> reference.Inputs:
    """Give what the reference reads; each temporal operator is looked up in the whole trace once."""
    inputs = reference.inputs_of(subject.bundle, action, pair.context, pair.t_us, pair.observed)
    known: dict[str, object] = {}

    def recall(rule):
        key = str(rule)
        if key not in known:
            known[key] = inputs.recall(rule)
        return known[key]

    return replace(inputs, recall=recall)


def as_said(decision):
    return (
        decision.verdict,
        decision.limits,
        decision.reasons,
        list(decision.evidence),
        [(sample.signal, repr(sample.value)) for sample in decision.remembered],
    )


def said(policies, verdict, statuses, codes):
    """Give what an engine says: the verdict; for each policy whether it permits, active limits, evidence."""
    pairs = zip(policies, statuses, codes, strict=True)
    return int(verdict), [(*status_bits(s, len(each.limits))[0::2], code) for each, s, code in pairs]


def check(subject: Subject, pairs: list[Pair], counts: Counter[str]) -> None:
    """Hold every engine to the reference over some traces.

    Raises:
        DisagreementError: for the first that says something else.
    """
    for action in subject.actions:
        program = subject.programs[action]
        guarding = subject.bundle.guarding(action)
        rows, wanted = [], []
        for pair in pairs:
            inputs = inputs_of(subject, action, pair)
            outcomes = [reference.outcome_of(each, inputs, subject.numbers[each.id]) for each in guarding]
            decision = reference.decision_of(inputs, outcomes, pair.observed)
            counts[decision.verdict.word] += 1
            counts["unknown somewhere"] += any(reason.code == "unknown" for reason in decision.reasons)
            decided = subject.python.decide(action, pair.context, pair.t_us, pair.state)
            counts["decided"] += 1
            if as_said(decided) != as_said(decision):
                raise DisagreementError(f"python: {decided} instead of {decision}")
            if program.settled is not None:
                continue
            try:
                values = decision_values(program, inputs)
            except Surprise:
                counts["left to the reference"] += 1
                continue
            told = [(bool(outcome.verdict), outcome.active, outcome.code) for outcome in outcomes]
            wanted.append(((int(decision.verdict), told), pair))
            for engine in subject.devices:
                if (engine, action) in pair.runs:
                    run = pair.runs[engine, action]
                    compare(f"{engine} that remembers", said(guarding, *run), wanted[-1])
                    counts["decided by a device"] += 1
            if subject.has_budgets:  # the host of an engine that remembers nothing looks at them
                wanted.pop()
                continue
            rows.append(values)
            for engine, runners in (("wasm", subject.wasm), ("c99", subject.c99)):
                compare(engine, said(guarding, *runners[action](values)), wanted[-1])
        if rows:
            check_columns(program, rows, wanted)
    counts["of these by the exact evaluator"] += subject.python.exactly
    check_raw(subject, pairs, counts)


def compare(engine: str, found: object, wanted: tuple[object, Pair]) -> None:
    expected, pair = wanted
    if found != expected:
        raise DisagreementError(
            f"{engine}: {found} instead of {expected} at {pair.t_us} for {pair.context}, {held(pair.state)}"
        )


def check_columns(program, rows, wanted) -> None:
    found = DecisionColumns(program)(list(np.array(rows).T), len(rows))
    policies = [column.policy.policy for column in found.policies]
    for row, each in enumerate(wanted):
        statuses = [column.status(row) for column in found.policies]
        codes = [column.code(row) for column in found.policies]
        compare("columns", said(policies, found.verdicts[row], statuses, codes), each)


def check_raw(subject: Subject, pairs: list[Pair], counts: Counter[str]) -> None:
    """Hold the raw verdicts of every engine to the reference; of several policies it is their meet."""
    rows, wanted = [], []
    for pair in pairs:
        expected = min(reference.verdict(each, pair.context, pair.t_us) for each in subject.policies)
        if subject.python.verdict(pair.context, pair.t_us) is not expected:
            raise DisagreementError(f"python: not {expected} raw for {pair.context}")
        try:
            values = raw_values(subject.raw, pair.context, pair.t_us)
        except Surprise:
            counts["left to the reference"] += 1
            continue
        rows.append(values)
        wanted.append((expected, pair))
        compare("c99 raw", subject.c99[None](values).verdict, wanted[-1])
        compare("wasm raw", subject.wasm[None](values).verdict, wanted[-1])
    table = np.array(rows, dtype=np.float64).reshape(len(rows), len(subject.raw.inputs))
    if rows:
        for found, each in zip(subject.raw_columns(list(table.T), len(rows)).tolist(), wanted, strict=True):
            compare("columns raw", found, each)
        check_spoilt(subject, np.nan_to_num(table, nan=1.0, posinf=1.0, neginf=1.0))


def check_spoilt(subject: Subject, sound: np.ndarray) -> None:
    """Hold the columns to the C code over sound rows, which go another way, and one bad value among them."""
    for index in range(-1, sound.shape[1]):
        table, row = sound.copy(), (index * 7) % len(sound)
        if index >= 0:
            table[row, index] = np.nan
        found = subject.raw_columns(list(table.T), len(table)).tolist()
        for each in (row, (row + 1) % len(sound)) if index >= 0 else range(len(sound)):
            expected = subject.c99[None](table[each].tolist()).verdict
            if found[each] != expected:
                raise DisagreementError(f"columns raw: {found[each]} instead of {expected} for {table[each]}")


def soak_batch(seed: int, programs: int, traces: int, counts: Counter[str]) -> int:
    """Check one batch and give how many pairs it held."""
    rng = generator(seed)
    drawn = Contexts(rng)
    contexts = [drawn.context() for _ in range(min(CONTEXTS, programs * traces))]
    subjects = draw(rng, programs)
    for subject in subjects:
        try:
            pairs: list[Pair] = []
            while len(pairs) < traces:
                pairs += walk(subject, contexts, rng, min(rng.choice([1, 4, 12]), traces - len(pairs)))
            check(subject, pairs, counts)
        except DisagreementError as error:
            documents = [policy.to_json() | {"vocabulary": "edge"} for policy in subject.policies]
            raise DisagreementError(f"seed {seed}: {error}\n{json.dumps(documents)}") from None
    return programs * traces


@dataclass
class Progress:
    """How far a soak has come, kept in a file."""

    seed: int
    batches: int = 0
    pairs: int = 0
    seconds: float = 0.0
    counts: Counter[str] = field(default_factory=Counter)

    @classmethod
    def of(cls, path: Path | None, seed: int) -> Progress:
        """Go on from a file, where it is about the same seed."""
        known = json.loads(path.read_text()) if path is not None and path.exists() else {"seed": None}
        if known["seed"] != seed:
            return cls(seed)
        return cls(**known | {"counts": Counter(known["counts"])})

    def keep(self, path: Path | None) -> None:
        """Write the file, whole or not at all."""
        if path is not None:
            draft = path.with_name(path.name + ".new")
            draft.write_text(json.dumps(vars(self)))
            draft.replace(path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pairs", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--progress", type=Path, help="a file that tells how far it came")
    given = parser.parse_args()
    at = Progress.of(given.progress, given.seed)
    started = shown = time.monotonic()
    before_s, before = at.seconds, at.pairs
    while at.pairs < given.pairs:
        try:
            at.pairs += soak_batch(given.seed * 1_000_003 + at.batches, PROGRAMS, TRACES, at.counts)
        except subprocess.TimeoutExpired:
            continue  # of the C compiler, on a machine that stood still: the same batch once more
        at.batches += 1
        now = time.monotonic()
        at.seconds = before_s + now - started
        at.keep(given.progress)
        if now - shown > 10 or at.pairs >= given.pairs:
            shown = now
            left_s = max(given.pairs - at.pairs, 0) * (now - started) / (at.pairs - before)
            sys.stdout.write(
                f"{at.pairs:>10,} of {given.pairs:,} pairs, {left_s / 60:.0f} min left: {dict(at.counts)}\n"
            )
            sys.stdout.flush()


if __name__ == "__main__":
    main()

"""Holds every engine to the reference over drawn (policy, trace) pairs; run it for as long as you like.

.venv/bin/python tests/engine_soak.py --pairs 1000000 --seed 1
"""

from __future__ import annotations

import argparse
import random
import sys
import time

import numpy as np

from edge_programs import ACTIONS, VOCABULARY, Contexts, Programs, generator
from ripstop.backends import compile as compile_policies
from ripstop.backends.c99 import C99, build_header, build_runners
from ripstop.backends.columns import COLUMNS
from ripstop.backends.columns.host import RawColumns, run_decisions
from ripstop.backends.edge import decision_program, verdict_program
from ripstop.backends.edge.host import decision_values, raw_values, status_bits
from ripstop.backends.edge.inputs import Surprise
from ripstop.backends.wasm import WASM
from ripstop.backends.wasm.host import WasmRunner
from ripstop.policy import make_bundle, reference

ENGINES = ("python", "wasm", "c99", "columns")


class DisagreementError(AssertionError):
    """An engine says something else than the reference."""


class Subject:
    """One policy, made ready for every engine; the C code of many is compiled at once."""

    def __init__(self, policy, number: int) -> None:
        self.policy = policy
        self.bundle = make_bundle([policy], VOCABULARY)
        self.python = compile_policies([policy], vocabulary=VOCABULARY)
        self.actions = [action for action in ACTIONS if self.bundle.guarding(action)]
        self.programs = {action: decision_program(self.bundle, action, COLUMNS) for action in self.actions}
        self.raw = verdict_program([policy], COLUMNS)
        self.raw_columns = RawColumns(self.raw)
        self.uses_remainder = "%" in str(policy.rule) or any("%" in str(each.when) for each in policy.limits)
        self.wasm = {}
        if not self.uses_remainder:
            self.wasm = {
                action: WasmRunner(decision_program(self.bundle, action, WASM)) for action in self.actions
            }
            self.wasm[None] = WasmRunner(verdict_program([policy], WASM))
        programs = [decision_program(self.bundle, action, C99) for action in self.actions]
        self.header = build_header([*programs, verdict_program([policy], C99)], f"s{number}")
        self.c99 = {}


def draw(rng: random.Random, count: int) -> list[Subject]:
    programs = Programs(rng, remainder=rng.random() < 0.3)
    subjects = [Subject(programs.policy(number), number) for number in range(count)]
    runners = iter(build_runners([subject.header for subject in subjects]))
    for subject in subjects:
        subject.c99 = {action: next(runners) for action in (*subject.actions, None)}
    return subjects


def trace(subject: Subject, contexts: Contexts, rng: random.Random):
    state, t_us = subject.python.start(), 0
    for _ in range(rng.choice([0, 1, 1, 2])):
        t_us += rng.randint(0, 3_000_000)
        state = subject.python.observe(state, contexts.context(), t_us)
    keep = rng.choice([0.3, 0.8, 1.0])
    context = {name: value for name, value in contexts.context().items() if rng.random() < keep}
    return state, context, t_us + rng.choice([0, rng.randint(0, 6_000_000)])


def as_said(decision):
    return decision.verdict, decision.limits, decision.reasons, list(decision.evidence)


def said(run, limits: int):
    return run.verdict, status_bits(run.statuses[0], limits)[0::2], run.codes[0]


def check(subject: Subject, traces, counts: dict[str, int]) -> None:
    limits = len(subject.policy.limits)
    for action in subject.actions:
        program = subject.programs[action]
        rows, wanted = [], []
        for state, context, t_us in traces:
            inputs = reference.inputs_of(subject.bundle, action, context, t_us, state)
            outcome = reference.outcome_of(subject.policy, inputs)
            decision = reference.decide(subject.bundle, action, context, t_us, state)
            settled = program.settled is not None
            expected = (
                decision.verdict,
                () if settled else (bool(outcome.verdict), outcome.active),
                () if settled else outcome.code,
            )
            counts[decision.verdict.word] = counts.get(decision.verdict.word, 0) + 1
            decided = subject.python.decide(action, context, t_us, state)
            if as_said(decided) != as_said(decision):
                raise DisagreementError(f"python: {decided} instead of {decision}")
            if settled:
                continue
            try:
                values = decision_values(program, inputs)
            except Surprise:
                counts["left to the reference"] = counts.get("left to the reference", 0) + 1
                continue
            rows.append(values)
            wanted.append((expected, context, t_us))
            for engine, runners in (("wasm", subject.wasm), ("c99", subject.c99)):
                if action in runners and (found := said(runners[action](values), limits)) != expected:
                    raise DisagreementError(
                        f"{engine}: {found} instead of {expected} at {t_us} for {context}"
                    )
        if rows:
            found = run_decisions(program, list(np.array(rows).T), len(rows))
            (column,) = found.policies
            for row, (expected, context, t_us) in enumerate(wanted):
                status = column.status(row)
                got = int(found.verdicts[row]), status_bits(status, limits)[0::2], column.code(row)
                if got != expected:
                    raise DisagreementError(f"columns: {got} instead of {expected} at {t_us} for {context}")
    check_raw(subject, traces, counts)


def check_raw(subject: Subject, traces, counts: dict[str, int]) -> None:
    for _, context, t_us in traces:
        expected = reference.verdict(subject.policy, context, t_us)
        if subject.python.verdict(context, t_us) is not expected:
            raise DisagreementError(f"python: not {expected} raw for {context}")
        try:
            values = raw_values(subject.raw, context, t_us)
        except Surprise:
            counts["left to the reference"] = counts.get("left to the reference", 0) + 1
            continue
        columns = [np.array([value]) for value in values]
        found = {
            "c99": subject.c99[None](values).verdict,
            "columns": subject.raw_columns(columns, 1)[0],
        }
        if None in subject.wasm:
            found["wasm"] = subject.wasm[None](values).verdict
        for engine, verdict in found.items():
            if verdict != expected:
                raise DisagreementError(f"{engine}: {verdict} instead of {expected} raw for {context}")


def soak_batch(seed: int, programs: int, traces: int, counts: dict[str, int]) -> int:
    """Check one batch and give how many pairs it held."""
    rng = generator(seed)
    contexts = Contexts(rng)
    try:
        subjects = draw(rng, programs)
        for subject in subjects:
            check(subject, [trace(subject, contexts, rng) for _ in range(traces)], counts)
    except DisagreementError as error:
        rule = {"rule": subject.policy.rule, "limits": [each.when for each in subject.policy.limits]}
        raise DisagreementError(f"seed {seed}: {error}\n{rule}") from None
    return programs * traces


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pairs", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    done, batch, counts = 0, 0, {}
    started = shown = time.monotonic()
    while done < given.pairs:
        done += soak_batch(given.seed * 1_000_003 + batch, 40, 200, counts)
        batch += 1
        now = time.monotonic()
        if now - shown > 10 or done >= given.pairs:
            shown = now
            share = done / given.pairs
            left_s = (now - started) / share * (1 - share)
            sys.stdout.write(f"{done:>10,} of {given.pairs:,} pairs, {left_s / 60:.0f} min left; {counts}\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main()

"""Policies on an emulated Cortex-M3, compiled to C99 and from WebAssembly, against the reference."""

import importlib.util
import math
import sys
from pathlib import Path

import pytest

from edge_memory import Shadow
from edge_programs import VOCABULARY, Contexts, Programs, generator
from ripstop.backends import compile as compile_policies
from ripstop.backends.c99 import C99
from ripstop.backends.edge import decision_program, verdict_program
from ripstop.backends.edge.device import programs_of
from ripstop.backends.edge.host import decision_values
from ripstop.backends.edge.inputs import Surprise
from ripstop.backends.wasm import WASM
from ripstop.policy import load, make_bundle, reference
from ripstop.policy.bounds import bounds

ROOT = Path(__file__).resolve().parents[2]


def script(name):
    """Load a script of `firmware/`; dataclasses, and the other scripts, look it up by its name."""
    spec = importlib.util.spec_from_file_location(f"firmware_{name}", ROOT / "firmware" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[f"firmware_{name}"] = module
    spec.loader.exec_module(module)
    return module


firmware = script("run")
remember = script("remember")

pytestmark = pytest.mark.skipif(
    bool(firmware.missing_tools()), reason=f"not installed: {', '.join(firmware.missing_tools())}"
)
RULE_A = {"if": [{"<": [{"var": "battery"}, 30]}, {"<=": [{"var": "payload"}, 1.0]}, True]}


@pytest.mark.parametrize("seed", [5, 32])
@pytest.mark.parametrize("engine", [C99, WASM], ids=lambda engine: engine.name)
def test_drawn_policies_come_out_on_the_device_as_in_the_reference(engine, seed, tmp_path):
    rng = generator(seed)
    policies = [Programs(rng).policy(number) for number in range(2)]
    bundle = make_bundle(policies, VOCABULARY)
    program = decision_program(bundle, "go", engine)
    rows, wanted = [], []
    for _ in range(150):
        context = Contexts(rng).context()
        inputs = reference.Inputs(bundle, "go", context, 2_000_000, {})
        try:
            rows.append(decision_values(program, inputs))
        except Surprise:
            continue
        decision = reference.decide(bundle, "go", context, 2_000_000)
        outcomes = [reference.outcome_of(policy, inputs) for policy in policies]
        wanted.append((decision.verdict, tuple(outcome.code for outcome in outcomes)))
    image = firmware.build(program, tmp_path, through_wasm=engine is WASM)
    found = firmware.run(image, program, rows)
    assert [(verdict, codes) for verdict, _, codes in found] == wanted
    assert len({verdict for verdict, _ in wanted}) > 2
    assert image.static_ram_bytes <= 64


@pytest.mark.parametrize("engine", [C99, WASM], ids=lambda engine: engine.name)
def test_the_payload_rule_is_small(engine, tmp_path):
    program = verdict_program([load(RULE_A)], engine)
    image = firmware.build(program, tmp_path, through_wasm=engine is WASM)
    rows = [[20, 2], [20, 1], [50, math.nan], [math.nan, 1], [20, math.inf]]
    assert [verdict for verdict, _, _ in firmware.run(image, program, rows)] == [0, 2, 2, -1, -1]
    assert image.policy_bytes <= 200
    assert image.flash_bytes <= 4096
    assert image.static_ram_bytes <= 64


REMEMBERS = {
    "ripstop": 1,
    "id": "spin",
    "vocabulary": {
        "name": "v",
        "signals": {
            "a": {"type": "number", "range": [0, 10], "max_age_s": 2},
            "flag": {"type": "boolean"},
        },
        "actions": {"go": {"parameters": {"kg": {"type": "number"}}}},
    },
    "guards": ["go"],
    "rule": {
        "and": [
            {
                "or": [
                    {"historically": [{"once": [{">": [{"var": "a"}, 1]}, 1]}, 5]},
                    {"since": [{"var": "flag"}, {"<": [{"var": "a"}, {"previous": {"var": "a"}}]}, 4]},
                ]
            },
            {"<": [{"count_within": [{"var": "flag"}, 4, 3]}, 3]},
        ]
    },
    "budgets": [{"at_most": 3, "within_s": 10}, {"tokens": 5, "refill_per_s": 0.5, "cost": "kg"}],
}


@pytest.mark.parametrize("engine", [C99, WASM], ids=lambda engine: engine.name)
def test_policies_that_remember_do_so_on_the_device(engine, tmp_path):
    policy = load(REMEMBERS)
    bundle = make_bundle([policy])
    (program,), kept = programs_of(bundle, engine)
    image, width = remember.build_device(program, kept, tmp_path, through_wasm=engine is WASM)
    rng, compiled = generator(9), compile_policies(policy)
    state = compiled.start()
    shadow = Shadow(kept.memory, state)
    steps, wanted, t_us = [], [], 0
    for _ in range(250):
        t_us += rng.choice([0, 1, 1_000_000, 500_000, -300_000, 3_000_000])
        a = rng.choice([0.5, 2.0, 3.0, 99.0, math.nan])
        signals, dropped = {"a": a, "flag": rng.random() < 0.5}, state.dropped
        state = compiled.observe(state, signals, t_us)
        shadow.follow(state)
        numbers = [signals[kept.memory.inputs[load].name] for load in kept.memory.samples]
        steps.append(remember.Step(remember.OBSERVE, t_us, 3, tuple(map(float, numbers))))
        wanted.append((state.dropped - dropped, ()))
        at_us, kg = state.t_us + rng.choice([0, 2_500_000, 10**9]), rng.choice([0.0, 1.0, 2.5, math.nan])
        decision = compiled.decide("go", {"kg": kg}, at_us, state)
        steps.append(remember.Step(remember.DECIDE, at_us, 0, (kg,)))
        wanted.append((int(decision.verdict), tuple(decision.evidence.codes)))
        after = compiled.commit(state, decision, at_us)
        if after is not None:
            (key,) = [key for key, (budget, _) in kept.memory.budgets.items() if hasattr(budget, "at_most")]
            shadow.spend(key, after.spent[key], 3)
            state = after
            shadow.follow(state)
            steps.append(remember.Step(remember.COMMIT, at_us, 0, (kg,)))
            wanted.append((1, ()))
        steps.append(remember.Step(remember.SAVE))
        wanted.append((int.from_bytes(shadow.snapshot()[-8:-4], "little"), ()))
    found = remember.run_device(image, program, width, steps)
    assert [(verdict, codes) for verdict, _, codes in found] == wanted
    assert sum(step.what == remember.COMMIT for step in steps) > 10
    if engine is C99:
        assert image.static_ram_bytes <= 64 + bounds(policy).memory_bytes

"""Policies on an emulated Cortex-M3, compiled to C99 and from WebAssembly, against the reference."""

import importlib.util
import math
import sys
from pathlib import Path

import pytest

from edge_programs import VOCABULARY, Contexts, Programs, generator
from ripstop.backends.c99 import C99
from ripstop.backends.edge import decision_program, verdict_program
from ripstop.backends.edge.host import decision_values
from ripstop.backends.edge.inputs import Surprise
from ripstop.backends.wasm import WASM
from ripstop.policy import load, make_bundle, reference

ROOT = Path(__file__).resolve().parents[2]
_spec = importlib.util.spec_from_file_location("firmware_run", ROOT / "firmware" / "run.py")
firmware = importlib.util.module_from_spec(_spec)
sys.modules["firmware_run"] = firmware  # dataclasses look their module up
_spec.loader.exec_module(firmware)

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

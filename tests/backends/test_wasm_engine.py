"""The wasm engine: sizes, bounds, other runtimes, and what it refuses."""

import json
import math
import shutil
import subprocess

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ripstop.backends import compile as compile_policies
from ripstop.backends import emit
from ripstop.backends.edge import verdict_program
from ripstop.backends.wasm import WASM, build_module, encoding
from ripstop.backends.wasm.module import HEADER
from ripstop.backends.wasm.shared import REMAINDER_COST, remainder
from ripstop.core.decision import Verdict
from ripstop.core.errors import PolicyError
from ripstop.policy import load

wasmtime = pytest.importorskip("wasmtime", reason="wasmtime is not installed")

RULE_A = {"if": [{"<": [{"var": "battery"}, 30]}, {"<=": [{"var": "payload"}, 1.0]}, True]}
CLAUSES = [{("<", ">")[i % 3 == 0]: [{"var": f"s{i % 20}"}, (0.2, 0.8)[i % 2]]} for i in range(50)]
RULE_C = {"and": [{"or": CLAUSES[i : i + 2]} for i in range(0, 50, 2)]}
DOCUMENT = {
    "ripstop": 1,
    "id": "payload",
    "tier": "safety",
    "vocabulary": {
        "name": "v",
        "signals": {
            "battery": {"range": [0, 100]},
            "mode": {"type": "string", "values": ["fly", "idle"]},
            "up": {"type": "boolean"},
        },
        "actions": {"go": {"parameters": {"kg": {"range": [0, 10]}}}, "land": {}},
        "failsafe": ["land"],
    },
    "guards": ["go"],
    "rule": {
        "and": [{">": [{"var": "battery"}, 10]}, {"or": [{"var": "up"}, {"==": [{"var": "mode"}, "fly"]}]}]
    },
    "limits": [{"when": {"<": [{"var": "battery"}, 30]}, "limit": {"kg": {"max": 1}}}],
}
TRACE = [
    {"battery": battery, "up": up, "mode": mode, "kg": kg}
    for battery in (5, 20, 50, None, 200)
    for up in (True, False)
    for mode in ("fly", "idle")
    for kg in (0.5, 5)
]


def test_modules_are_as_small_as_promised():
    assert len(emit(load(RULE_A), "wasm", evidence=False)) <= 128
    assert len(emit(load(RULE_C), "wasm", evidence=False)) <= 1300
    assert len(emit(load(RULE_C), "wasm")) <= 3000


def test_the_same_policies_give_the_same_bytes():
    assert emit(load(DOCUMENT), "wasm") == emit(load(json.loads(json.dumps(DOCUMENT))), "wasm")


def test_a_module_imports_nothing_and_has_no_memory():
    module = wasmtime.Module(wasmtime.Engine(), emit(load(DOCUMENT), "wasm"))
    assert list(module.imports) == []
    assert [each.name for each in module.exports] == ["decide_go"]


@pytest.mark.parametrize("rule", [RULE_A, RULE_C])
def test_fuel_never_exceeds_the_bound_that_is_known_beforehand(rule):
    module = build_module([verdict_program([load(rule)], WASM)])
    (function,) = module.functions
    config = wasmtime.Config()
    config.consume_fuel = True
    engine = wasmtime.Engine(config)
    store = wasmtime.Store(engine)
    store.set_fuel(10**6)
    instance = wasmtime.Instance(store, wasmtime.Module(engine, module.code), [])
    call = instance.exports(store)["verdict"]
    for value in (0.1, 0.5, 0.9, 29.0, 31.0, math.nan):
        store.set_fuel(10**6)
        call(store, *([value] * len(function.program.inputs)))
        spent = 10**6 - store.get_fuel()
        assert 0 < spent <= function.instructions + 1  # and one for entering the function


def test_a_bound_is_tight_enough_to_run_within():
    module = build_module([verdict_program([load(RULE_C)], WASM)])
    assert module.functions[0].instructions < 900


def test_another_runtime_gives_the_same_verdicts_and_evidence(tmp_path):
    node = shutil.which("node")
    if node is None:
        pytest.skip("node is not installed")
    policy = load(DOCUMENT)
    compiled = compile_policies(policy, "wasm")
    program = compiled.program("go")
    (tmp_path / "m.wasm").write_bytes(emit(policy, "wasm"))
    reads = [[_number(row.get(each.name), program.texts) for each in program.inputs] for row in TRACE]
    script = """
    const fs = require('fs');
    WebAssembly.instantiate(fs.readFileSync(process.argv[1] + '/m.wasm')).then(({instance}) => {
      const rows = JSON.parse(fs.readFileSync(process.argv[1] + '/rows.json'));
      const call = instance.exports.decide_go;
      const all = rows.map(row => call(...row.map(v => v === null ? NaN : v)).map(String));
      process.stdout.write(JSON.stringify(all));
    });"""
    (tmp_path / "rows.json").write_text(json.dumps(reads))
    done = subprocess.run(
        [node, "-e", script, str(tmp_path)], capture_output=True, text=True, timeout=60, check=True
    )
    for row, found in zip(TRACE, json.loads(done.stdout), strict=True):
        context = {name: value for name, value in row.items() if value is not None}
        expected = compile_policies(policy).decide("go", context)
        assert int(found[0]) == expected.verdict
        (evidence,) = expected.evidence
        bits = sum(
            (evidence.read >> i & 1) << 2 * i | (evidence.true >> i & 1) << 2 * i + 1 for i in range(4)
        )
        assert int(found[2]) == bits


def _number(value, texts):
    return texts[value] if isinstance(value, str) else None if value is None else float(value)


@pytest.mark.parametrize("rule", [RULE_A, RULE_C, DOCUMENT])
@pytest.mark.parametrize("evidence", [True, False])
def test_wabt_takes_a_module_for_valid(rule, evidence, tmp_path):
    validate = shutil.which("wasm-validate")
    if validate is None:
        pytest.skip("wabt is not installed")
    made = tmp_path / "m.wasm"
    made.write_bytes(emit(load(rule), "wasm", evidence=evidence))
    subprocess.run([validate, str(made)], check=True, timeout=60)
    listing = subprocess.run(["wasm-objdump", "-d", str(made)], capture_output=True, text=True, check=True)
    assert "loop" not in listing.stdout
    assert "memory" not in listing.stdout


def test_a_module_tells_its_layout():
    code = emit(load(DOCUMENT), "wasm")
    layout = json.loads(code[code.index(b"ripstop{") + 7 :])
    assert layout["decide_go"]["inputs"] == ["battery", "up", "mode", "kg.bounded"]
    assert layout["decide_go"]["texts"]["fly"] > 0


@pytest.mark.parametrize(
    ("rule", "word"),
    [
        ({"==": [{"cat": [{"var": "a"}, "!"]}, "x!"]}, "text"),
        ({"all": [{"var": "near"}, {"<": [{"var": "load"}, 1]}]}, "size"),
        ({"<": [{"var": "a.b"}, 1]}, "goes into"),
    ],
)
def test_what_is_outside_the_profile_is_refused_with_its_place(rule, word):
    with pytest.raises(PolicyError) as caught:
        compile_policies(load(rule), "wasm")
    assert caught.value.code == "E0315"
    assert word in str(caught.value)
    assert " - at `/" in str(caught.value)


@pytest.mark.parametrize("engine", ["wasm", "c99", "columns"])
def test_a_limits_condition_outside_the_profile_is_refused_when_it_is_compiled(engine):
    when = {"==": [{"cat": [{"var": "mode"}, "!"]}, "fly!"]}
    limits = [{"when": when, "limit": {"kg": {"max": 1}}}]
    with pytest.raises(PolicyError, match="makes text") as caught:
        compile_policies(load({**DOCUMENT, "limits": limits}), engine)
    assert caught.value.code == "E0315"


def test_more_numbers_than_a_function_may_take_or_give_are_refused():
    signals = {f"s{index}": {"type": "boolean"} for index in range(1000)}
    vocabulary = {"name": "wide", "signals": signals, "actions": {"go": {}}}

    def policy(number, rule):
        document = {"ripstop": 1, "id": f"p{number}", "vocabulary": vocabulary, "guards": ["go"]}
        return load({**document, "rule": rule})

    reads = [{"var": name} for name in signals]
    many = [policy(number, {"var": f"s{number}"}) for number in range(501)]
    windows = policy(0, {"and": [{"once": [read, 4]} for read in reads[:990]]})
    for refused in (policy(0, {"and": reads}), many):
        with pytest.raises(PolicyError, match="1000 is the most"):
            compile_policies(refused, "wasm")
    with pytest.raises(PolicyError, match="1000 is the most"):
        compile_policies(windows, "wasm").device()


@pytest.mark.parametrize("engine", ["wasm", "c99"])
def test_conditions_written_out_too_deep_are_refused(engine):
    reads = [{"var": f"s{index}"} for index in range(600)]
    tests = [{"<": [read, 3]} for read in reads]
    chosen = [part for test, read in zip(tests, reads, strict=True) for part in (test, read)]
    for rule in (
        {"<": [{"+": reads}, 3]},
        {"<": [{"max": reads}, 3]},
        {"if": [part for test in tests for part in (test, test)]},
        {"<": [{"if": [*chosen, 1]}, 3]},
        {"<": [{"??": [*reads, 1]}, 3]},
        {"once": [{"<": [{"+": reads}, 3]}, 4]},
    ):
        with pytest.raises(PolicyError, match="nests more than 240 deep") as caught:
            emit(load(rule), engine)
        assert caught.value.code == "E0315"
    assert emit(load({"<": [{"+": reads[:230]}, 3]}), engine)


def test_a_value_that_the_module_was_not_built_for_is_left_to_the_reference():
    compiled = compile_policies(load(RULE_A), "wasm")
    assert compiled.verdict({"battery": "20", "payload": 0.5}) is Verdict.ALLOW
    assert compiled.verdict({"battery": [], "payload": 0.5}) is Verdict.UNKNOWN
    assert compiled.verdict({"battery": 20, "payload": True}) is Verdict.ALLOW
    assert compiled.verdict({"battery": 20.0}) is Verdict.UNKNOWN
    assert compiled.verdict({"battery": math.inf, "payload": 0.5}) is Verdict.UNKNOWN
    assert compiled.verdict({"battery": 20.0, "payload": 2.5}) is Verdict.DENY


def test_the_names_of_actions_that_a_caller_makes_up_are_not_remembered_for_ever():
    compiled = compile_policies(load({"<": [{"var": "battery"}, 30]}), "wasm")
    verdicts = {compiled.decide(f"action-{number}", {"battery": 20}).verdict for number in range(200)}
    assert verdicts == {Verdict.ALLOW}
    assert len(compiled._programs) <= 64


def remainder_alone():
    """Give the function of `%`, in a module of its own, and what says how much fuel a call took."""
    config = wasmtime.Config()
    config.consume_fuel = True
    engine = wasmtime.Engine(config)
    store = wasmtime.Store(engine)
    kind, code = remainder()
    sections = [
        encoding.section(1, encoding.vector([kind])),
        encoding.section(3, encoding.vector([b"\0"])),
        encoding.section(7, encoding.vector([encoding.name_bytes("r") + b"\0\0"])),
        encoding.section(10, encoding.vector([code.body()])),
    ]
    store.set_fuel(10**6)
    module = wasmtime.Module(engine, HEADER + b"".join(sections))
    called = wasmtime.Instance(store, module, []).exports(store)["r"]

    def run(left, right):
        store.set_fuel(10**6)
        return called(store, left, right), 10**6 - store.get_fuel()

    return run


FINITE = st.floats(allow_nan=False, allow_infinity=False)


def test_the_remainder_is_exact_and_within_its_bound():
    run = remainder_alone()

    @given(FINITE, FINITE)
    @example(1.7976931348623157e308, 5e-324)
    @example(-0.0, 3.0)
    @example(-6.0, 3.0)
    @example(2.2250738585072014e-308, 5e-324)
    def holds(left, right):
        found, fuel = run(left, right)
        assert math.isnan(found) if right == 0 else found.hex() == math.fmod(left, right).hex()
        assert fuel <= REMAINDER_COST

    holds()


def test_a_remainder_by_zero_is_unknown():
    compiled = compile_policies(load({"<": [{"%": [{"var": "a"}, {"var": "b"}]}, 1]}), "wasm")
    pairs = ((7.0, 3.0), (7.5, 2.0), (7.0, 0.0), (-7.0, 3.0))
    verdicts = [compiled.verdict({"a": a, "b": b}) for a, b in pairs]
    assert verdicts == [Verdict.DENY, Verdict.DENY, Verdict.UNKNOWN, Verdict.ALLOW]

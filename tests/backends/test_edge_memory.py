"""Engines that remember by themselves: their bytes and decisions against the reference, step by step."""

import math
import struct
import zlib

import pytest
import wasmtime
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_memory import Shadow
from edge_programs import generator
from ripstop.backends import compile as compile_policies
from ripstop.backends.edge.device import programs_of
from ripstop.backends.edge.snapshots import is_snapshot, snapshot_bytes
from ripstop.backends.wasm import WASM, build_module
from ripstop.core.decision import Verdict
from ripstop.core.errors import ConfigurationError, PolicyError
from ripstop.policy import load, load_vocabulary, make_bundle
from ripstop.policy.bounds import bounds
from temporal_programs import VOCABULARY, loaded, moments, rules, traces

DRONE = {
    "name": "v",
    "signals": {
        "a": {"type": "number", "range": [0, 10], "max_age_s": 2},
        "mode": {"type": "string", "values": ["idle", "busy"], "max_age_s": 3},
        "e": {"type": "estimate", "range": [0, 9]},
        "near": {"type": "list", "size": 2, "fields": {"load": {"type": "number", "range": [0, 1]}}},
        "flag": {"type": "boolean"},
        "tag": {"type": "string", "max_age_s": 2},
    },
    "actions": {
        "go": {"parameters": {"kg": {"type": "number"}}},
        "stop": {"parameters": {"kg": {"type": "number"}}},
        "land": {},
    },
    "failsafe": ["stop", "land"],
}
A, FLAG = {"var": "a"}, {"var": "flag"}
EVERYTHING = {
    "and": [
        {
            "or": [
                {"historically": [{"once": [{">": [A, 1]}, 1]}, 5]},
                {"since": [FLAG, {"<": [A, {"previous": A}]}, 4]},
                {"once": [{"all": [{"var": "near"}, {"<": [{"var": "load"}, 0.5]}]}, 2]},
                {"once": [{"chance": [{"<": [{"var": "e"}, 5]}, 0.9]}, 2]},
                {"!=": [{"previous": {"var": "mode"}}, "busy"]},
                {"once": [{"exists": "e"}, 1]},
                {"once": [{"!": [{"missing": ["tag", "e"]}]}, 3]},
            ]
        },
        {"<": [{"count_within": [FLAG, 4, 3]}, 3]},
    ]
}
BUDGETS = [{"at_most": 3, "within_s": 10}, {"tokens": 5, "refill_per_s": 0.5, "cost": "kg"}]


def policy(rule=EVERYTHING, guards=("go",), **more):
    document = {"ripstop": 1, "id": "x", "vocabulary": DRONE, "guards": list(guards), "rule": rule}
    return load({**document, "tier": "safety", **more})


def drawn_signals(rng):
    choices = {
        "a": [0.5, 2, 3.0, 99, None, math.nan, "x", True],
        "mode": ["idle", "busy", "gone", None, 3],
        "e": [{"mean": 3, "sd": 1}, {"mean": 3, "sd": -1}, {"mean": 99, "sd": 0}, None, 4],
        "near": [[], [{"load": 0.2}], [{"load": 2}, {}], [{"load": 0}] * 3, "x"],
        "flag": [True, False, False, None, 1],
        "tag": ["x", "", "", None, 3],
    }
    return {name: rng.choice(values) for name, values in choices.items() if rng.random() < 0.6}


def follow(policies, trace, devices, rng, *, checks=True):
    """Let devices take what a state takes; give the state, with how often it committed."""
    compiled = compile_policies(policies)
    state = compiled.start()
    shadow = Shadow(devices[0].memory, state)
    committed = 0
    for signals, t_us in trace:
        dropped = state.dropped
        state = compiled.observe(state, signals, t_us)
        shadow.follow(state)
        at_us = state.t_us + rng.choice([0, 1, 1_000_001, 2_500_000, 400_000_000, -5])
        context = {"kg": rng.choice([0, 1, 2.5, True, None, -1, 9])}
        action = rng.choice(["go", "go", "stop"])
        wanted = compiled.decide(action, context, at_us, state)
        for device in devices:
            late = device.observe(signals, t_us)
            assert not checks or late == state.dropped - dropped
            assert device.save() == shadow.snapshot()
            if action not in device.programs:
                continue
            run = device.decide(action, context, at_us, state)
            assert run.verdict == wanted.verdict
            if wanted.verdict is not Verdict.ALLOW or device.programs[action].policies:
                assert list(run.codes) == list(wanted.evidence.codes)
        after = compiled.commit(state, wanted, at_us) if rng.random() < 0.6 else None
        if after is None:
            continue
        committed += 1
        for key, (budget, _) in shadow.memory.budgets.items():
            if after.spent.get(key) is not state.spent.get(key) and hasattr(budget, "at_most"):
                shadow.spend(key, after.spent[key], budget.at_most)
        state = after
        shadow.follow(state)
        for device in devices:
            assert device.commit(action, context, at_us)
            assert device.save() == shadow.snapshot()
    return state, committed


@pytest.mark.parametrize("guards", [("go",), ("go", "stop")])
def test_both_engines_keep_the_very_bytes_of_the_state_and_decide_alike(guards):
    rng = generator(5)
    policies = policy(guards=guards, budgets=BUDGETS)
    devices = [compile_policies(policies, engine).device() for engine in ("c99", "wasm")]
    trace, t_us = [], 0
    for _ in range(800):
        t_us += rng.choice([0, 1, 1_000_000, 500_000, -300_000, 3_000_000])
        trace.append((drawn_signals(rng), t_us))
    _, committed = follow(policies, trace, devices, rng)
    assert committed > 30
    assert len(devices[0].save()) == snapshot_bytes(devices[0].memory)
    assert devices[0].memory.whole.size_bytes == bounds(policies).memory_bytes


@settings(max_examples=60)
@given(rules, traces, st.integers(0, 2**32))
def test_drawn_operators_inside_operators_keep_the_very_bytes(rule, trace, seed):
    policies = loaded(rule)
    device = compile_policies(policies, "wasm").device()
    follow(policies, moments(trace), [device], generator(seed), checks=False)
    assert device.memory.whole.size_bytes == bounds(policies).memory_bytes


@pytest.mark.parametrize("engine", ["c99", "wasm"])
def test_a_device_goes_on_from_its_snapshot_and_from_the_other_engines(engine):
    policies = policy(budgets=BUDGETS)
    devices = [compile_policies(policies, each).device() for each in (engine, "wasm", "c99")]
    first, other = devices[0], devices[1:]
    for step in range(20):
        first.observe({"a": step % 4, "flag": step % 3 > 0, "mode": "busy"}, step * 700_000)
    assert first.commit("go", {"kg": 1}, 15_000_000)
    content = first.save()
    assert is_snapshot(first.memory, content)
    for each in other:
        assert each.restore(content)
        assert each.save() == content
        each.forget()
        assert each.save() == compile_policies(policies, engine).device().save()


def malformed(memory):
    """Give snapshots whose checksum is right and whose content no engine may take."""
    first = 16 + 8 * (memory.whole.moments + memory.whole.numbers)

    def sealed(body):
        return body + struct.pack("<II", zlib.crc32(body), 0)

    def changed(content, at, value):
        return sealed(content[:at] + value + content[at + len(value) : -8])

    return {
        "an index beyond its ring": lambda c: changed(c, first, b"\xff\xff"),
        "a truth that is none": lambda c: changed(c, first + 2 * memory.whole.indices, b"\x03"),
        "a moment that is too far": lambda c: changed(c, 16, struct.pack("<q", 2**62 + 1)),
        "a foreign digest": lambda c: changed(c, 0, b"\0\0"),
        "torn": lambda c: c[:40] + b"\0" * (len(c) - 40),
        "cut short": lambda c: c[:-1],
        "empty": lambda c: b"",
        "too long": lambda c: c + b"\0",
        "one bit": lambda c: c[:30] + bytes([c[30] ^ 4]) + c[31:],
        "bits behind the checksum": lambda c: c[:-1] + b"\1",
    }


@pytest.mark.parametrize("engine", ["c99", "wasm"])
def test_what_is_no_snapshot_of_these_policies_is_refused_and_changes_nothing(engine):
    device = compile_policies(policy(budgets=BUDGETS), engine).device()
    device.observe({"a": 2, "flag": True}, 5_000_000)
    before = device.save()
    for what, spoil in malformed(device.memory).items():
        content = spoil(before)
        assert not is_snapshot(device.memory, content), what
        assert not device.restore(content), what
        assert device.save() == before, what
    other = compile_policies(policy({"once": [FLAG, 4]}), engine).device()
    assert not device.restore(other.save())
    assert not other.restore(before)


@pytest.mark.parametrize("engine", ["c99", "wasm"])
def test_times_at_the_end_of_a_word_neither_trap_nor_pass(engine):
    policies = policy(budgets=BUDGETS)
    compiled, device = compile_policies(policies), compile_policies(policies, engine).device()
    assert device.observe({"a": 2, "flag": True}, 10**6) == 0
    before = device.save()
    for t_us in (2**61 + 1, 2**63 - 1, -(2**63), 2**80, -(2**80)):
        assert device.observe({"a": 3, "flag": False}, t_us) == 2
        assert device.save() == before
    state = compiled.observe(compiled.start(), {"a": 2, "flag": True}, 10**6)
    for t_us in (2**63 - 1, 2**80, -(2**63), -(2**80), 2**62, -(2**62)):
        run, wanted = device.decide("go", {"kg": 1}, t_us), compiled.decide("go", {"kg": 1}, t_us, state)
        assert (run.verdict, list(run.codes)) == (wanted.verdict, list(wanted.evidence.codes))
    for t_us in (2**61, -(2**61)):
        state, taken = compiled.observe(state, {"a": 3}, t_us), device.observe({"a": 3}, t_us)
        assert taken == (t_us < 0)
        run, wanted = device.decide("go", {"kg": 1}, t_us), compiled.decide("go", {"kg": 1}, t_us, state)
        assert run.verdict == wanted.verdict
    assert not device.commit("go", {"kg": 9}, 2**63 - 1)
    assert device.commit("go", {"kg": 1}, 2**63 - 1)


@pytest.mark.parametrize("window_s", [1e-6, 366 * 86_400.0])
def test_windows_from_a_microsecond_to_a_year_keep_the_very_bytes(window_s):
    rule = {"historically": [{"!": [{"once": [{">": [A, 1]}, window_s]}]}, window_s]}
    policies, rng = policy(rule), generator(7)
    devices = [compile_policies(policies, engine).device() for engine in ("c99", "wasm")]
    t_us, trace = 0, []
    for _ in range(200):
        t_us += rng.choice([0, 1, 2, 10**6, 10**13, -(10**12), 3 * 10**15])
        trace.append(({"a": rng.choice([0, 2, None])} if rng.random() < 0.8 else {}, t_us))
    follow(policies, trace, devices, rng)


def fuel_of(module, calls):
    """Give the most fuel that calls took, without the unit for entering, by function."""
    config = wasmtime.Config()
    config.consume_fuel = True
    engine = wasmtime.Engine(config)
    store = wasmtime.Store(engine)
    store.set_fuel(10**9)
    exports = wasmtime.Instance(store, wasmtime.Module(engine, module.code), []).exports(store)
    most = {}
    for name, *arguments in calls:
        store.set_fuel(10**9)
        exports[name](store, *arguments)
        most[name] = max(most.get(name, 0), 10**9 - store.get_fuel() - 1)
    return most


def test_no_call_takes_more_instructions_than_the_bound_that_is_proven():
    policies, rng = policy(budgets=BUDGETS), generator(3)
    programs, kept = programs_of(make_bundle([policies]), WASM)
    module = build_module(programs, remembering=kept)
    inputs = len(kept.memory.samples)
    calls, t_us = [], 0
    for _ in range(400):
        t_us += rng.choice([0, 1, 700_000, 2_000_000, 10**9, -(10**6)])
        numbers = [rng.choice([0.0, 1.0, 2.0, 0.4, math.nan, math.inf]) for _ in range(inputs)]
        calls.append(("observe", t_us, rng.randrange(32), *numbers))
        calls.append(("decide_go", t_us + rng.choice([0, 10**6, 10**10]), rng.choice([1.0, math.nan, -1.0])))
        calls.append(("commit_go", t_us, 1.0))
    calls += [("save",), ("restore",), ("start",)]
    bound = {**module.bounds, **{each.name: each.instructions for each in module.functions}}
    for name, fuel in fuel_of(module, calls).items():
        assert fuel <= bound[name], name
    longer = policy(EVERYTHING | {}, budgets=[{"at_most": 3, "within_s": 3e7}, BUDGETS[1]])
    programs, kept = programs_of(make_bundle([longer]), WASM)
    assert build_module(programs, remembering=kept).bounds == module.bounds  # no window is in it


def test_an_action_that_only_spends_is_compiled_beside_one_that_looks_back():
    spends = policy(True, guards=("stop",), id="y", budgets=BUDGETS[:1])
    policies = [policy({"once": [{">": [A, 1]}, 4]}), spends]
    for engine in ("c99", "wasm"):
        device = compile_policies(policies, engine).device()
        assert device.decide("stop", {"kg": 1}, 5).verdict is Verdict.ALLOW
        assert [device.commit("stop", {}, 5) for _ in range(2)] == [True, True]


def test_what_has_nothing_to_remember_has_no_device_and_its_module_no_memory():
    compiled = compile_policies(policy({"<": [A, 5]}), "wasm")
    with pytest.raises(ConfigurationError, match="nothing to remember"):
        compiled.device()


@pytest.mark.parametrize("engine", ["c99", "wasm"])
def test_what_a_window_cannot_look_at_on_a_device_is_refused(engine):
    rule = {"once": [{"in": ["x", {"cat": [{"var": "mode"}, "y"]}]}, 4]}
    with pytest.raises(PolicyError, match="cannot run on the engine"):
        compile_policies(policy(rule), engine).device()


@pytest.mark.parametrize("engine", ["c99", "wasm"])
def test_an_empty_text_is_missing_in_a_window_until_it_grows_old_and_null_is_always(engine):
    policies = policy({"historically": [{"!": [{"missing": ["tag"]}]}, 1]})
    for tag, later in (("", Verdict.ALLOW), (None, Verdict.DENY), ("x", Verdict.ALLOW)):
        device, compiled = compile_policies(policies, engine).device(), compile_policies(policies)
        device.observe({"tag": tag}, 0)
        state = compiled.observe(compiled.start(), {"tag": tag}, 0)
        for t_us, wanted in ((1_500_000, Verdict.ALLOW if tag else Verdict.DENY), (4_500_000, later)):
            assert device.decide("go", {}, t_us).verdict is wanted
            assert compiled.decide("go", {}, t_us, state).verdict is wanted
    assert device.memory.whole.size_bytes == bounds(policies).memory_bytes


@pytest.mark.parametrize("engine", ["c99", "wasm"])
def test_a_device_takes_the_time_from_its_caller_also_for_now(engine):
    rule = {"and": [{"once": [FLAG, 4]}, {"<": [{"var": "now"}, 12.5]}]}
    device = compile_policies(policy(rule), engine).device()
    device.observe({"flag": True}, 12_000_000)
    verdicts = [device.decide("go", {"kg": 1}, t_us).verdict for t_us in (12_400_000, 12_500_000)]
    assert verdicts == [Verdict.ALLOW, Verdict.DENY]


@pytest.mark.parametrize("engine", ["c99", "wasm"])
def test_many_signals_have_their_bits_in_as_many_words_as_they_need(engine):
    def many(count):
        names = [f"s{index}" for index in range(count)]
        vocabulary = {
            "name": "many",
            "signals": {name: {"type": "boolean"} for name in names},
            "actions": {"go": {}},
        }
        rule = {"and": [{"once": [{"var": name}, 4]} for name in names]}
        document = {"ripstop": 1, "id": "x", "vocabulary": vocabulary, "guards": ["go"], "rule": rule}
        return load(document)

    for count in (32, 33, 64, 65, 130):
        device = compile_policies(many(count), engine).device()
        last = f"s{count - 1}"
        device.observe({f"s{index}": f"s{index}" != last for index in range(count)}, 0)
        assert device.decide("go", {}, 0).verdict is Verdict.DENY
        assert device.observe({"s1": False}, -5) == 1
        device.observe({last: True}, 1)
        assert device.decide("go", {}, 1).verdict is Verdict.ALLOW
        other = compile_policies(many(count - 1), engine).device()
        assert not other.restore(device.save())


def test_the_vocabulary_of_drawn_traces_is_the_devices():
    assert load_vocabulary(VOCABULARY.to_json()).digest == VOCABULARY.digest

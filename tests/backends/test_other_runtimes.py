"""Modules and headers that remember, by other runtimes and other compilers than the engines' own hosts."""

import json
import math
import shutil
import struct
import subprocess

import pytest

from edge_programs import generator
from ripstop.backends import compile as compile_policies
from ripstop.backends import emit
from ripstop.backends.edge.device import programs_of
from ripstop.backends.edge.snapshots import is_snapshot
from ripstop.backends.wasm import WASM, build_module
from ripstop.policy import load, make_bundle

POLICY = {
    "ripstop": 1,
    "id": "spin",
    "vocabulary": {
        "name": "v",
        "signals": {"a": {"range": [0, 10], "max_age_s": 2}, "flag": {"type": "boolean"}},
        "actions": {"go": {"parameters": {"kg": {"type": "number"}}}},
    },
    "guards": ["go"],
    "rule": {
        "or": [
            {"historically": [{"once": [{">": [{"var": "a"}, 1]}, 1]}, 5]},
            {"since": [{"var": "flag"}, {"<": [{"var": "a"}, {"previous": {"var": "a"}}]}, 4]},
            {">": [{"count_within": [{"var": "flag"}, 4, 3]}, 1]},
        ]
    },
    "budgets": [{"at_most": 3, "within_s": 10}, {"tokens": 5, "refill_per_s": 0.5, "cost": "kg"}],
}
DRIVER = """\
const { readFileSync } = require("fs");
const { calls } = JSON.parse(readFileSync(process.argv[3]));
WebAssembly.instantiate(readFileSync(process.argv[2])).then(({ module, instance }) => {
  const [section] = WebAssembly.Module.customSections(module, "ripstop");
  const layout = JSON.parse(new TextDecoder().decode(section)).observe;
  const number = (x) => (x === null ? NaN : x);
  const found = calls.map(([name, t_us, sampled, numbers]) => {
    const mask = name === "observe" ? [BigInt(sampled)] : [];
    return [instance.exports[name](BigInt(t_us), ...mask, ...numbers.map(number))].flat().map(Number);
  });
  const take = () => {
    const size = instance.exports.save();
    return Buffer.from(instance.exports.memory.buffer, 0, size).toString("hex");
  };
  const kept = take();
  instance.exports.start();
  const empty = take();
  Buffer.from(kept, "hex").copy(Buffer.from(instance.exports.memory.buffer, layout.inbox));
  const restored = [instance.exports.restore(), take() === kept];
  new Uint8Array(instance.exports.memory.buffer)[layout.inbox + 20] ^= 1;
  restored.push(instance.exports.restore(), take() === kept);
  console.log(JSON.stringify({ found, kept, empty, restored, imports: WebAssembly.Module.imports(module) }));
});
"""


def needs(tool):
    return pytest.mark.skipif(shutil.which(tool) is None, reason=f"`{tool}` is not installed")


def drawn_calls(count):
    """Draw what to call: name, time, mask, numbers."""
    rng, t_us, calls = generator(4), 0, []
    for _ in range(count):
        t_us += rng.choice([0, 1, 500_000, 3_000_000, -300_000])
        numbers = [rng.choice([0.5, 2.0, 3.0, 99.0, math.nan]), float(rng.random() < 0.5)]
        calls.append(("observe", t_us, rng.randrange(4), numbers))
        later, kg = t_us + rng.choice([0, 2_500_000]), [rng.choice([0.0, 1.0, math.nan])]
        calls += [("decide_go", later, 0, kg), ("commit_go", later, 0, kg)]
    return calls


def answers(board, calls):
    """Give what an engine's own host answers."""
    found = []
    for name, t_us, sampled, numbers in calls:
        if name == "observe":
            found.append([board.observe(t_us, [sampled], numbers)])
        elif name == "commit_go":
            found.append([int(board.commit(0, t_us, numbers))])
        else:
            run = board.run(0, t_us, numbers)
            found.append([int(run.verdict), *run.statuses, *run.codes])
    return found


@needs("node")
def test_node_says_and_keeps_what_wasmtime_does(tmp_path):
    policy, calls = load(POLICY), drawn_calls(200)
    (tmp_path / "policy.wasm").write_bytes(emit(policy, "wasm"))
    (tmp_path / "drive.cjs").write_text(DRIVER)
    written = [(*call[:3], [None if math.isnan(number) else number for number in call[3]]) for call in calls]
    (tmp_path / "calls.json").write_text(json.dumps({"calls": written}))
    done = subprocess.run(
        ["node", "drive.cjs", "policy.wasm", "calls.json"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    told = json.loads(done.stdout)
    device = compile_policies(policy, "wasm").device()
    assert told["empty"] == device.save().hex()
    assert told["found"] == answers(device._board, calls)
    assert told["kept"] == device.save().hex()
    assert is_snapshot(device.memory, bytes.fromhex(told["kept"]))
    assert told["restored"] == [1, True, 0, True]
    assert told["imports"] == []


@needs("wasm-interp")
def test_wabts_interpreter_runs_what_takes_no_arguments(tmp_path):
    programs, kept = programs_of(make_bundle([load(POLICY)]), WASM)
    module = tmp_path / "policy.wasm"
    module.write_bytes(build_module(programs, remembering=kept).code)
    subprocess.run(["wasm-validate", module], check=True, timeout=60)
    done = subprocess.run(
        ["wasm-interp", module, "--run-all-exports"], capture_output=True, text=True, timeout=60, check=True
    )
    size = len(compile_policies(load(POLICY), "wasm").device().save())
    assert f"save() => i32:{size}" in done.stdout
    assert "restore() => i32:0" in done.stdout
    assert "error" not in done.stdout


@needs("wasm-objdump")
def test_a_module_that_remembers_imports_nothing_and_cannot_grow(tmp_path):
    module = tmp_path / "policy.wasm"
    module.write_bytes(emit(load(POLICY), "wasm"))
    done = subprocess.run(
        ["wasm-objdump", "-xd", module], capture_output=True, text=True, timeout=60, check=True
    )
    assert "Import[" not in done.stdout
    assert "pages: initial=1 max=1" in done.stdout
    assert "memory.grow" not in done.stdout
    assert "call_indirect" not in done.stdout
    assert "Start:" in done.stdout


@pytest.mark.parametrize("compiler", [pytest.param(each, marks=needs(each)) for each in ("clang", "g++")])
def test_another_compiler_makes_the_same_of_a_header(compiler, monkeypatch):
    policy, calls = load(POLICY), drawn_calls(200)
    monkeypatch.setenv("CC", compiler)
    other = compile_policies(policy, "c99").device()
    device = compile_policies(policy, "wasm").device()
    assert other.save() == device.save()
    assert answers(other._board, calls) == answers(device._board, calls)
    assert other.save() == device.save()


@needs("g++")
def test_a_header_that_remembers_is_cplusplus_too(tmp_path):
    (tmp_path / "policy.h").write_bytes(emit(load(POLICY), "c99"))
    (tmp_path / "main.cc").write_text('#include "policy.h"\nint main() { return 0; }\n')
    flags = ["-std=c++17", "-Wall", "-Wextra", "-Wpedantic", "-Werror", "-ffp-contract=off", "-fsyntax-only"]
    subprocess.run(["g++", *flags, "main.cc"], cwd=tmp_path, check=True, timeout=60)


@needs("gcc")
@pytest.mark.parametrize("optimised", ["-O0", "-O2", "-Os"])
def test_no_arithmetic_of_a_header_overflows(optimised, tmp_path):
    """Runs times at the ends of a word through code that stops at undefined behaviour."""
    (tmp_path / "policy.h").write_bytes(emit(load(POLICY), "c99", prefix="p"))
    times = [0, 1, -1, 2**61, -(2**61), 2**61 + 1, -(2**61) - 1, 2**62, -(2**62), 2**63 - 1, -(2**63) + 1]
    listed = ", ".join(f"INT64_C({t_us})" for t_us in times) + ", INT64_MIN"
    (tmp_path / "main.c").write_text(
        "#include <stdio.h>\n"
        '#include "policy.h"\n'
        "int main(void)\n"
        "{\n"
        f"    static const int64_t times[] = {{{listed}}};\n"
        "    const int count = (int)(sizeof times / sizeof *times);\n"
        "    p_state state;\n"
        "    p_samples samples = {0.5, 1.0};\n"
        "    p_decide_go_inputs in = {1.0};\n"
        "    p_decide_go_result out;\n"
        "    uint8_t bytes[P_SNAPSHOT_BYTES];\n"
        "    p_start(&state);\n"
        "    for (int i = 0; i < count * count; i++) {\n"
        "        p_decide_go(&state, times[i / count], &in, &out);\n"
        "        (void)p_commit_go(&state, times[i % count], 1.0);\n"
        "        (void)p_observe(&state, &samples, 3u, times[i % count]);\n"
        "        samples.a = samples.a > 5.0 ? 0.5 : samples.a + 1.0;\n"
        "        samples.flag = 1.0 - samples.flag;\n"
        "        p_save(&state, bytes);\n"
        "        if (!p_restore(&state, bytes, sizeof bytes)) { return 1; }\n"
        "    }\n"
        '    return printf("%d\\n", out.verdict) < 0;\n'
        "}\n"
    )
    flags = ["-std=c99", "-Wall", "-Wextra", "-Wpedantic", "-Werror", "-ffp-contract=off", optimised]
    sanitize = ["-fsanitize=undefined", "-fno-sanitize-recover=all"]
    subprocess.run(
        ["gcc", *flags, *sanitize, "main.c", "-o", "main", "-lm"], cwd=tmp_path, check=True, timeout=60
    )
    subprocess.run([str(tmp_path / "main")], check=True, timeout=60, capture_output=True)


def test_the_bytes_of_a_snapshot_are_little_endian_wherever_it_is_made():
    device = compile_policies(load(POLICY), "c99").device()
    device.observe({"a": 2.5, "flag": True}, 5_000_000)
    content = device.save()
    assert struct.unpack_from("<q", content, 16) == (5_000_000,)
    first = 16 + 8 * device.memory.whole.moments
    assert struct.unpack_from("<2d", content, first) == (2.5, 1.0)

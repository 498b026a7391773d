"""Writes what a device has to know beside its compiled policies: names, kinds, ages, codes of texts.

    python examples/device_table.py policies/drones --target c99 --prefix drone -o device_table.h
    python examples/device_table.py policies/drones --target wasm -o device_table.json

The policies and the vocabulary must be those that were compiled; these remember by themselves. A policy that
looks at lists or estimates is refused: its inputs are more than the last reading of each signal.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Collection
from pathlib import Path
from typing import Any

from ripstop.backends.c99 import C99, CFunction, CHeader, build_header
from ripstop.backends.c99.names import unique
from ripstop.backends.edge import EdgeProgram, Engine, Input, actions_of, decision_program, texts_of
from ripstop.backends.edge.device import programs_of
from ripstop.backends.edge.memory import Memory
from ripstop.backends.edge.program import costs_of
from ripstop.backends.edge.snapshots import snapshot_bytes
from ripstop.backends.edge.spending import given, remembers
from ripstop.backends.wasm.engine import WASM
from ripstop.backends.wasm.memory import inbox
from ripstop.cli.policy.arguments import expanded
from ripstop.core.decision import Verdict
from ripstop.core.errors import RipstopError
from ripstop.core.vocabulary import SignalSpec
from ripstop.policy import load, make_bundle
from ripstop.policy.bundle import Bundle

LONGEST_TEXT = 254
KINDS = ("number", "timestamp", "boolean", "string")
VERDICTS = {Verdict.DENY: "deny", Verdict.LIMIT: "limit", Verdict.ALLOW: "allow"}
VERDICT_NUMBERS = {"deny": 0, "limit": 1, "allow": 2}
LOOKS = ("value", "present", "given", "filled", "now", "bounded", "cost")


def names_of(program: EdgeProgram, bundle: Bundle) -> dict[str, SignalSpec | None]:
    """Give what an action is asked for with; where nothing is declared, everything is."""
    spec = bundle.vocabulary.actions.get(program.action or "")
    if bundle.vocabulary.is_open:
        return {each.name: each.spec for each in program.inputs if each.look.value != "now"}
    return {} if spec is None else dict(spec.parameters)


def input_of(each: Input, parameters: Collection[str], bundle: Bundle) -> dict[str, object]:
    """Describe one input: where it comes from, and how what is read there becomes a number."""
    kind = "number" if each.spec is None else each.spec.type
    if each.look.value not in LOOKS or each.index is not None or each.part or kind not in KINDS:
        raise SystemExit(f"`{each.label}` is more than the last reading of a signal")
    if each.look.value != "now" and each.name not in {*parameters, *bundle.vocabulary.signals}:
        raise SystemExit(f"`{each.name}` is not declared in the vocabulary `{bundle.vocabulary.name}`")
    return {
        "name": each.name,
        "look": each.look.value,
        "held": {"text": "string", "boolean": "boolean"}.get(each.held.value, "number"),
        "is_strict": each.held.value == "number, not a boolean" and each.spec is None,
        "is_parameter": each.name in parameters,
        "last_valid_us": None if each.max_age_s is None else round(each.max_age_s * 1e6),
    }


def spec_of(name: str, spec: SignalSpec | None) -> dict[str, object]:
    """Describe a signal or a parameter; one that is not declared is taken as it comes."""
    if spec is None:
        return {"name": name, "kind": "", "low": None, "high": None, "max_age_us": None, "values": []}
    return {
        "name": name,
        "kind": spec.type,
        "low": spec.low,
        "high": spec.high,
        "max_age_us": None if spec.max_age_s is None else int(spec.max_age_s * 1e6),
        "values": list(spec.values),
    }


def action_of(program: EdgeProgram, bundle: Bundle) -> dict[str, object]:
    """Describe one action; `verdict` is there where no policy has a say on it."""
    settled, parameters = program.settled, names_of(program, bundle)
    loads = given(program, has_memory=True)
    if any(len(text.encode()) > LONGEST_TEXT for text in program.texts):
        raise SystemExit(f"a text of the policies on `{program.action}` has more than {LONGEST_TEXT} bytes")
    return {
        "name": program.action,
        "verdict": None if settled is None else VERDICTS[settled],
        "is_failsafe": program.action in bundle.vocabulary.failsafes,
        "parameters": [spec_of(*item) for item in parameters.items()],
        "inputs": [input_of(program.inputs[load], parameters, bundle) for load in loads],
        "texts": dict(program.texts),
        "bounded": [name for name, _ in program.bounded],
        "costs": costs_of([each.policy for each in program.policies]),
        "words": [each.words for each in program.policies],
        "takes_t_us": remembers(program),
    }


def memory_of(memory: Memory, bundle: Bundle) -> dict[str, object]:
    """Describe what samples the policies' memory takes, and where a module has its snapshots."""
    return {
        "signals": [each.name for each in memory.signals],
        "samples": [input_of(memory.inputs[load], (), bundle) for load in memory.samples],
        "texts": dict(memory.texts),
        "snapshot_bytes": snapshot_bytes(memory),
        "inbox": inbox(memory),
    }


def table_of(bundle: Bundle, engine: Engine, memory: Memory | None) -> dict[str, Any]:
    """Describe the vocabulary (signals in the order that telemetry frames count in) and every action.

    The action `` stands for any that is not named; `memory` is there where policies remember.
    """
    vocabulary, texts = bundle.vocabulary, texts_of(bundle)
    has_budgets = any(policy.budgets for policy in bundle.policies)
    programs = {
        name: decision_program(bundle, name, engine, texts, has_budgets=has_budgets)
        for name in dict.fromkeys([*vocabulary.actions, *actions_of(bundle), ""])
    }
    return {
        "vocabulary": vocabulary.digest,
        "signals": [spec_of(name, vocabulary.signals[name]) for name in sorted(vocabulary.signals)],
        "actions": [action_of(program, bundle) for program in programs.values()],
        "memory": None if memory is None else memory_of(memory, bundle),
    }


# ---- as a C header ----------------------------------------------------------------------------------------


def quoted(text: str) -> str:
    """Write a C string; other than plain characters are escaped byte by byte."""
    plain = (chr(b) if 32 <= b < 127 and chr(b) not in '"\\?' else f"\\{b:03o}" for b in text.encode("utf-8"))
    return f'"{"".join(plain)}"'


def number(value: object, otherwise: str) -> str:
    """Write a number, or what stands for none."""
    return otherwise if value is None else repr(value)


def c_spec(spec: dict[str, Any]) -> str:
    """Write a signal or parameter."""
    kind = {"number": "NUMBER", "timestamp": "NUMBER", "boolean": "BOOLEAN", "string": "TEXT", "": "ANY"}
    values = ", ".join([*map(quoted, spec["values"]), "0"])
    held = f"(const char *const[]){{{values}}}" if spec["values"] else "0"
    low, high = number(spec["low"], "-HUGE_VAL"), number(spec["high"], "HUGE_VAL")
    age = number(spec["max_age_us"], "-1")
    return (
        f"{{{quoted(spec['name'])}, DEVICE_{kind.get(spec['kind'], 'NONE')}, {low}, {high}, {age}, {held}}}"
    )


def c_input(each: dict[str, Any], action: dict[str, Any], table: dict[str, Any]) -> str:
    """Write an input; `source` counts parameters or signals."""
    known = [spec["name"] for spec in (action["parameters"] if each["is_parameter"] else table["signals"])]
    source = known.index(each["name"]) if each["name"] in known else 0
    held = {"number": "NUMBER", "boolean": "BOOLEAN", "string": "TEXT"}[each["held"]]
    flags = f"{int(each['is_parameter'])}, {int(each['is_strict'])}"
    age = number(each["last_valid_us"], "-1")
    return f"{{{source}, DEVICE_LOOK_{each['look'].upper()}, DEVICE_{held}, {flags}, {age}}}"


def c_array(kind: str, name: str, rows: list[str]) -> list[str]:
    """Write an array that is never empty, as C wants it."""
    return [f"static const {kind} {name}[] = {{", *(f"    {row}," for row in rows or ["{0}"]), "};"]


def c_action(
    index: int, action: dict[str, Any], function: CFunction | None, table: dict[str, Any]
) -> list[str]:
    """Write one action's arrays, and what calls its function."""
    lines = c_array("device_spec", f"parameters_{index}", [c_spec(each) for each in action["parameters"]])
    lines += c_array("device_input", f"inputs_{index}", [c_input(e, action, table) for e in action["inputs"]])
    texts = [f"{{{quoted(text)}, {code}}}" for text, code in action["texts"].items()]
    lines += c_array("device_text", f"texts_{index}", texts)
    lines += c_array("char *const", f"bounded_{index}", [quoted(each) for each in action["bounded"]] or ["0"])
    known = [spec["name"] for spec in action["parameters"]]
    lines += c_array("int", f"costs_{index}", [str(known.index(each)) for each in action["costs"]] or ["0"])
    if function is None:
        return lines
    lines += [
        f"static void decide_{index}(const double *numbers, int64_t t_us, device_decision *out)",
        "{",
        f"    {function.name}_inputs in = {{0}};",
        f"    {function.name}_result made;",
        f"    memcpy(&in, numbers, {len(function.fields)} * sizeof *numbers);",
        f"    {function.name}({'&kept, t_us, ' if function.takes_state else ''}&in, &made);",
        *([] if function.takes_state else ["    (void)t_us;"]),
        "    out->verdict = made.verdict;",
    ]
    for number_, field in enumerate(unique(action["bounded"])):
        lines.append(f"    out->low[{number_}] = made.{field}_low;")
        lines.append(f"    out->high[{number_}] = made.{field}_high;")
    return [*lines, "}"]


def c_memory(table: dict[str, Any], made: CHeader) -> list[str]:
    """Write what passes samples on to the memory that the policies keep."""
    prefix, known = made.prefix, [spec["name"] for spec in table["signals"]]
    bits = {name: bit for bit, name in enumerate(table["memory"]["signals"])}
    samples, action = table["memory"]["samples"], {"parameters": []}
    mask = "uint32_t" if len(bits) <= 32 else "uint64_t"
    words = "".join(
        f"({mask})(word == {word} ? sampled : 0), " for word in range(max(-(-len(bits) // 64), 1))
    )
    lines = [f"static {prefix}_state kept;"]
    lines += c_array("int", "bits", [str(bits.get(name, -1)) for name in known] or ["-1"])
    lines += c_array("device_input", "samples", [c_input(each, action, table) for each in samples])
    texts = [f"{{{quoted(text)}, {code}}}" for text, code in table["memory"]["texts"].items()]
    lines += c_array("device_text", "memory_texts", texts)
    return [
        *lines,
        f"static void start_memory(void) {{ {prefix}_start(&kept); }}",
        "static int64_t observe_memory(const double *numbers, int bit, int64_t t_us)",
        "{",
        f"    {prefix}_samples in;",
        f"    memcpy(&in, numbers, {len(samples)} * sizeof *numbers);",
        "    int word = bit / 64;",
        "    uint64_t sampled = bit < 0 ? 0 : UINT64_C(1) << bit % 64;",
        f"    return {prefix}_observe(&kept, &in, {words}t_us);",
        "}",
        f"static void save_memory(uint8_t *bytes) {{ {prefix}_save(&kept, bytes); }}",
        "static int restore_memory(const uint8_t *bytes, size_t count)",
        "{",
        f"    return {prefix}_restore(&kept, bytes, count);",
        "}",
        "static const device_memory memory = {start_memory, observe_memory, save_memory, restore_memory,",
        f"    {prefix.upper()}_SNAPSHOT_BYTES, bits, samples, memory_texts, {len(samples)}, {len(texts)}}};",
    ]


def c_commits(table: dict[str, Any], made: CHeader, bundle: Bundle) -> dict[str, str]:
    """Write what consumes budgets; gives the function of each action."""
    names = iter(made.state.commits if made.state is not None else ())
    found = {}
    for name in actions_of(bundle):
        if any(policy.budgets for policy in bundle.guarding(name)):
            commit, count = next(names)
            costs = "".join(f", costs[{index}]" for index in range(count))
            found[name] = f"(void)costs; return (int){made.prefix}_{commit}(&kept, t_us{costs});"
    return found


def c_header(table: dict[str, Any], made: CHeader, bundle: Bundle, header: str) -> str:
    """Write the table as a header for `device.c`."""
    functions, memory = {f.program.action or "": f for f in made.functions}, table["memory"]
    octets = ", ".join(f"0x{octet:02x}" for octet in bytes.fromhex(table["vocabulary"]))
    lines = [
        "/* Generated by device_table.py; make it again when policies or vocabulary change. */",
        "#include <math.h>",
        f'#include "{header}"',
        '#include "device.h"',
        f"const unsigned char device_vocabulary[32] = {{{octets}}};",
        *c_array("device_spec", "signals", [c_spec(each) for each in table["signals"]]),
        *([] if memory is None else c_memory(table, made)),
    ]
    rows, commits = [], c_commits(table, made, bundle)
    for index, action in enumerate(table["actions"]):
        function = None if action["verdict"] is not None else functions[action["name"]]
        lines += c_action(index, action, function, table)
        counts = [len(action[key]) for key in ("parameters", "inputs", "texts", "bounded")]
        verdict = -1 if function else VERDICT_NUMBERS[action["verdict"]]
        commit = f"commit_{index}" if action["name"] in commits else "0"
        if commit != "0":
            lines.append(f"static int {commit}(const double *costs, int64_t t_us)")
            lines += ["{", f"    {commits[action['name']]}", "}"]
        rows.append(
            f"{{{quoted(action['name'])}, {verdict}, {int(action['is_failsafe'])}, "
            f"parameters_{index}, inputs_{index}, texts_{index}, "
            f"bounded_{index}, {', '.join(map(str, counts))}, {f'decide_{index}' if function else '0'}, "
            f"{commit}, costs_{index}, {len(action['costs'])}}}"
        )
    lines += c_array("device_action", "actions", rows)
    held = f"{{signals, {len(table['signals'])}, actions, {len(rows)}, {'&memory' if memory else '0'}}}"
    lines.append(f"const device_table device_known = {held};")
    inputs = max(len(each[key]) for each in table["actions"] for key in ("parameters", "inputs", "costs"))
    needs = {
        "SIGNALS": len(table["signals"]),
        "INPUTS": max(inputs, len(memory["samples"]) if memory else 0),
        "BOUNDED": max(len(each["bounded"]) for each in table["actions"]),
    }
    for name, least in needs.items():
        lines += [f"#if DEVICE_{name} < {least}", f'#error "build with -DDEVICE_{name}={least}"', "#endif"]
    return "\n".join([*lines, ""])


# ---- from the command line --------------------------------------------------------------------------------


def main() -> None:
    """Read the policies and write the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("policies", nargs="+", metavar="FILE", help="a policy, or a folder of policies")
    parser.add_argument("--target", required=True, choices=("c99", "wasm"), help="a C header, or JSON")
    parser.add_argument("--vocabulary", metavar="FILE", help="use this vocabulary instead of the named one")
    parser.add_argument("--prefix", default="ripstop", help="as the policy header was compiled with")
    parser.add_argument("--header", default="policy.h", help="the policy header's file (default policy.h)")
    parser.add_argument("-o", "--output", required=True, metavar="OUT", help="the file to write")
    args = parser.parse_args()
    try:
        bundle = make_bundle([load(path, args.vocabulary) for path in expanded(args.policies)])
        engine = C99 if args.target == "c99" else WASM
        programs, kept = programs_of(bundle, engine)
        table = table_of(bundle, engine, None if kept is None else kept.memory)
    except RipstopError as error:
        sys.exit(str(error))
    if args.target == "wasm":
        text = json.dumps(table, indent=1) + "\n"
    else:
        if args.prefix == "device":
            sys.exit("`device` begins the names of device.h: compile the policies with another prefix")
        made = build_header(programs, args.prefix, kept)
        text = c_header(table, made, bundle, args.header)
    Path(args.output).write_text(text)


if __name__ == "__main__":
    main()

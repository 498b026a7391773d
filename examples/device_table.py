"""Writes what a device has to know beside its compiled policies: names, kinds, ages, codes of texts.

    python examples/device_table.py policies/drones --target c99 --prefix drone -o device_table.h
    python examples/device_table.py policies/drones --target wasm -o device_table.json

The policies and the vocabulary must be those that were compiled. A policy that remembers (a temporal
operator, a budget) or looks at lists is refused: its inputs are more than the last reading of each signal.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from ripstop.backends.c99 import C99, CFunction, build_header
from ripstop.backends.c99.names import unique
from ripstop.backends.edge import EdgeProgram, Engine, Input, actions_of, decision_program, texts_of
from ripstop.backends.wasm.engine import WASM
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
LOOKS = ("value", "present", "given", "filled", "now", "bounded")


def names_of(program: EdgeProgram, bundle: Bundle) -> dict[str, SignalSpec | None]:
    """Give what an action is asked for with; where nothing is declared, everything is."""
    spec = bundle.vocabulary.actions.get(program.action or "")
    if bundle.vocabulary.is_open:
        return {each.name: each.spec for each in program.inputs if each.look.value != "now"}
    return {} if spec is None else dict(spec.parameters)


def input_of(each: Input, program: EdgeProgram, bundle: Bundle) -> dict[str, object]:
    """Describe one input: where it comes from, and how what is read there becomes a number."""
    kind = "number" if each.spec is None else each.spec.type
    if each.look.value not in LOOKS or each.index is not None or each.part or kind not in KINDS:
        raise SystemExit(f"`{each.label}` is more than the last reading of a signal")
    parameters = names_of(program, bundle)
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
    settled = program.settled
    if any(len(text.encode()) > LONGEST_TEXT for text in program.texts):
        raise SystemExit(f"a text of the policies on `{program.action}` has more than {LONGEST_TEXT} bytes")
    return {
        "name": program.action,
        "verdict": None if settled is None else VERDICTS[settled],
        "is_failsafe": program.action in bundle.vocabulary.failsafes,
        "parameters": [spec_of(*item) for item in names_of(program, bundle).items()],
        "inputs": [input_of(each, program, bundle) for each in program.inputs],
        "texts": dict(program.texts),
        "bounded": [name for name, _ in program.bounded],
        "words": [each.words for each in program.policies],
    }


def table_of(bundle: Bundle, engine: Engine) -> dict[str, object]:
    """Describe the vocabulary (signals in the order that telemetry frames count in) and every action.

    The action `` stands for any that is not named.
    """
    vocabulary, texts = bundle.vocabulary, texts_of(bundle)
    for policy in bundle.policies:
        if policy.program.windows or policy.budgets:
            raise SystemExit(f"`{policy.id}` remembers: it is more than the last reading of each signal")
    names = dict.fromkeys([*vocabulary.actions, *actions_of(bundle), ""])
    return {
        "vocabulary": vocabulary.digest,
        "signals": [spec_of(name, vocabulary.signals[name]) for name in sorted(vocabulary.signals)],
        "actions": [action_of(decision_program(bundle, name, engine, texts), bundle) for name in names],
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
    if function is None:
        return lines
    lines += [
        f"static void decide_{index}(const double *numbers, device_decision *out)",
        "{",
        f"    {function.name}_inputs in = {{0}};",
        f"    {function.name}_result made;",
        f"    memcpy(&in, numbers, {len(function.fields)} * sizeof *numbers);",
        f"    {function.name}(&in, &made);",
        "    out->verdict = made.verdict;",
    ]
    for number_, field in enumerate(unique(action["bounded"])):
        lines.append(f"    out->low[{number_}] = made.{field}_low;")
        lines.append(f"    out->high[{number_}] = made.{field}_high;")
    return [*lines, "}"]


def c_header(table: dict[str, Any], functions: dict[str, CFunction], policy_header: str) -> str:
    """Write the table as a header for `device.c`."""
    octets = ", ".join(f"0x{octet:02x}" for octet in bytes.fromhex(table["vocabulary"]))
    lines = [
        "/* Generated by device_table.py; make it again when policies or vocabulary change. */",
        "#include <math.h>",
        f'#include "{policy_header}"',
        '#include "device.h"',
        f"const unsigned char device_vocabulary[32] = {{{octets}}};",
        *c_array("device_spec", "signals", [c_spec(each) for each in table["signals"]]),
    ]
    rows = []
    for index, action in enumerate(table["actions"]):
        function = None if action["verdict"] is not None else functions[action["name"]]
        lines += c_action(index, action, function, table)
        counts = [len(action[key]) for key in ("parameters", "inputs", "texts", "bounded")]
        verdict = -1 if function else VERDICT_NUMBERS[action["verdict"]]
        rows.append(
            f"{{{quoted(action['name'])}, {verdict}, {int(action['is_failsafe'])}, "
            f"parameters_{index}, inputs_{index}, texts_{index}, "
            f"bounded_{index}, {', '.join(map(str, counts))}, {f'decide_{index}' if function else '0'}}}"
        )
    lines += c_array("device_action", "actions", rows)
    lines.append(
        f"const device_table device_known = {{signals, {len(table['signals'])}, actions, {len(rows)}}};"
    )
    inputs = max(len(each[key]) for each in table["actions"] for key in ("parameters", "inputs"))
    bounded = max(len(each["bounded"]) for each in table["actions"])
    needs = {"SIGNALS": len(table["signals"]), "INPUTS": inputs, "BOUNDED": bounded}
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
        table = table_of(bundle, C99 if args.target == "c99" else WASM)
        texts = texts_of(bundle)
        programs = [decision_program(bundle, name, C99, texts) for name in actions_of(bundle)]
    except RipstopError as error:
        sys.exit(str(error))
    if args.target == "wasm":
        text = json.dumps(table, indent=1) + "\n"
    else:
        made = build_header(programs, args.prefix).functions
        text = c_header(table, {f.program.action or "": f for f in made}, args.header)
    Path(args.output).write_text(text)


if __name__ == "__main__":
    main()

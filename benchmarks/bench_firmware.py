"""Sizes on a Cortex-M3: the rule's own code, the whole image, static RAM; from C99 and through wasm2c.

Last a rule that remembers (`once` over ten seconds, with a max age): its code is what observes, decides,
saves and restores, and its memory comes on top of the 64 bytes.
"""

from __future__ import annotations

import importlib.util
import sys
import tempfile
from pathlib import Path

from bars import judged, summary
from bench_policy import RULE_A, RULE_B, clauses

from ripstop.backends.c99 import C99
from ripstop.backends.edge import decision_program, verdict_program
from ripstop.backends.edge.device import programs_of
from ripstop.backends.wasm import WASM
from ripstop.policy import load, make_bundle
from ripstop.policy.bounds import bounds

FIRMWARE = Path(__file__).resolve().parents[1] / "firmware"


def firmware(name):
    """Load a script that builds images; dataclasses, and the other script, look it up by its name."""
    spec = importlib.util.spec_from_file_location(f"firmware_{name}", FIRMWARE / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[f"firmware_{name}"] = module
    spec.loader.exec_module(module)
    return module


def remembering() -> None:
    remember = firmware("remember")
    signals = {"load": {"range": [0, 1], "max_age_s": 5}}
    policy = load(
        {
            "ripstop": 1,
            "id": "overload",
            "vocabulary": {"name": "bench", "signals": signals, "actions": {"go": {}}},
            "guards": ["go"],
            "rule": {"!": [{"once": [{">": [{"var": "load"}, 0.9]}, 10]}]},
        }
    )
    state = bounds(policy).memory_bytes
    for engine in (C99, WASM):
        (program,), kept = programs_of(make_bundle([policy]), engine)
        with tempfile.TemporaryDirectory() as place:
            image, _ = remember.build_device(program, kept, Path(place), through_wasm=engine is WASM)
        name, through = f"once, {state} bytes kept", "wasm2c" if engine is WASM else "c99"
        bar = ""
        if engine is C99:
            ram = image.static_ram_bytes - state
            bar = judged(f"{name}, {through}: static RAM beside what is kept", ram, most=64)
        print(
            f"{name:<24}{through:<10}{image.policy_bytes:>8}{image.flash_bytes:>8}"
            f"{image.static_ram_bytes:>6}   {bar}"
        )


def main() -> None:
    run = firmware("run")
    if run.missing_tools():
        print(f"not installed, so nothing is measured: {', '.join(run.missing_tools())}")
        return
    pairs = clauses(2)
    chain = {"and": [{"or": pairs[index : index + 2]} for index in range(0, 50, 2)]}
    print(f"{'rule':<24}{'through':<10}{'code':>8}{'image':>8}{'RAM':>6}   bytes")
    for title, rule in (("a", RULE_A), ("b", RULE_B), ("c", chain)):
        policy = load(rule)
        bundle = make_bundle([policy])
        for engine in (C99, WASM):
            for what, program in (
                ("verdict", verdict_program([policy], engine)),
                ("decision, evidence", decision_program(bundle, "go", engine)),
            ):
                with tempfile.TemporaryDirectory() as place:
                    image = run.build(program, Path(place), through_wasm=engine is WASM)
                name, through = f"{title} {what}", "wasm2c" if engine is WASM else "c99"
                bars = [judged(f"{name}, {through}: static RAM", image.static_ram_bytes, most=64)]
                if (title, what) == ("a", "verdict"):
                    bars.append(judged(f"{name}, {through}: code", image.policy_bytes, most=200))
                    bars.append(judged(f"{name}, {through}: image", image.flash_bytes, most=4096))
                print(
                    f"{name:<24}{through:<10}{image.policy_bytes:>8}{image.flash_bytes:>8}"
                    f"{image.static_ram_bytes:>6}   " + ", ".join(bars)
                )
    remembering()
    summary()


if __name__ == "__main__":
    main()

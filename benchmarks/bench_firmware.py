"""Sizes on a Cortex-M3: the rule's own code, the whole image, static RAM; from C99 and through wasm2c."""

from __future__ import annotations

import importlib.util
import sys
import tempfile
from pathlib import Path

from bars import judged, summary
from bench_policy import RULE_A, RULE_B, clauses

from ripstop.backends.c99 import C99
from ripstop.backends.edge import decision_program, verdict_program
from ripstop.backends.wasm import WASM
from ripstop.policy import load, make_bundle

RUN = Path(__file__).resolve().parents[1] / "firmware" / "run.py"


def firmware():
    """Load the script that builds images."""
    spec = importlib.util.spec_from_file_location("firmware_run", RUN)
    module = importlib.util.module_from_spec(spec)
    sys.modules["firmware_run"] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


def main() -> None:
    run = firmware()
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
    summary()


if __name__ == "__main__":
    main()

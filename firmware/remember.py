"""Policies that remember, on an emulated Cortex-M3: a trace of samples, decisions and actions done.

Each row of the trace is what to do (0 observe, 1 decide, 2 commit, 3 save), the time, the mask of signals and
the numbers; the answer is what came back, of `save` the checksum of all that is remembered.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from firmware_run import Image, Row, build_image, row_of, run_rows, translate, words_found, words_of

from ripstop.backends.c99 import build_header
from ripstop.backends.edge import EdgeProgram
from ripstop.backends.edge.snapshots import snapshot_bytes
from ripstop.backends.edge.spending import Remembering, given
from ripstop.backends.wasm import build_module

OBSERVE, DECIDE, COMMIT, SAVE = range(4)
RUNTIME = """\
#include <stdbool.h>
#include "policy.h"
static uint8_t room[ROOM]; /* as much of the page as the module looks at: it traps beyond */
bool wasm_rt_is_initialized(void) { return true; }
uint32_t wasm_rt_register_func_type(uint32_t parameters, uint32_t results, ...)
{
    return parameters + results;
}
void wasm_rt_allocate_memory(wasm_rt_memory_t *memory, uint32_t pages, uint32_t most)
{
    *memory = (wasm_rt_memory_t){room, pages, most, sizeof room};
}
void wasm_rt_free_memory(wasm_rt_memory_t *memory) { (void)memory; }
void wasm_rt_trap(wasm_rt_trap_t code)
{
    (void)code;
    for (;;) { }
}
static Z_policy_instance_t instance;
"""


@dataclass(frozen=True)
class Step:
    """One row of a trace."""

    what: int
    t_us: int = 0
    sampled: int = 0
    numbers: tuple[float, ...] = ()


def build_device(
    program: EdgeProgram, kept: Remembering, place: Path, *, through_wasm: bool
) -> tuple[Image, int]:
    """Build an image for one action in a folder; give it with how many numbers a row has."""
    costs = [made.costs for made in kept.public if made.name == f"commit_{program.action}"]
    width = max(len(kept.memory.samples), len(given(program, has_memory=True)), *map(len, costs), 1)
    if through_wasm:
        translate(build_module([program], remembering=kept).code, place)
    glue = (_wasm_glue if through_wasm else _c99_glue)(program, kept, 3 + width)
    return build_image(glue, place, through_wasm=through_wasm), width


def run_device(image: Image, program: EdgeProgram, width: int, steps: Sequence[Step]) -> list[Row]:
    """Run a trace; what is no decision comes as a verdict without policies."""
    rows = []
    for step in steps:
        numbers = (*step.numbers, *[0.0] * (width - len(step.numbers)))
        rows.append(struct.pack(f"<3q{width}d", step.what, step.t_us, step.sampled, *numbers))
    found = run_rows(image, rows, 4 * words_of(program))
    return [
        row_of(program, each) if step.what == DECIDE else (struct.unpack_from("<I", each)[0], (), ())
        for step, each in zip(steps, found, strict=True)
    ]


def _glue(lines: Sequence[str], declarations: str, inputs: int, words: int) -> str:
    return "\n".join(
        [
            declarations,
            f"#define INPUTS {inputs}",
            f"#define WORDS {words}",
            "__attribute__((noinline)) static void evaluate(const double *in, uint32_t *out)",
            "{",
            "    static int is_started;",
            "    const double *x = in + 3;",
            "    int64_t what, t_us, sampled;",
            "    memcpy(&what, in, 8);",
            "    memcpy(&t_us, in + 1, 8);",
            "    memcpy(&sampled, in + 2, 8);",
            *lines,
            "}",
            "",
        ]
    )


def _c99_glue(program: EdgeProgram, kept: Remembering, inputs: int) -> str:
    header = build_header([program], "ripstop", kept)
    (function,) = header.functions
    size = snapshot_bytes(kept.memory)
    lines = [
        "    if (!is_started) { ripstop_start(&state); is_started = 1; }",
        "    if (what == 0) {",
        "        const ripstop_samples *samples = (const ripstop_samples *)x;",
        "        out[0] = (uint32_t)ripstop_observe(&state, samples, (uint32_t)sampled, t_us);",
        "    } else if (what == 1) {",
        f"        {function.name}_result found;",
        f"        {function.name}(&state, t_us, (const {function.name}_inputs *)x, &found);",
        "        out[0] = (uint32_t)found.verdict;",
    ]
    at = 1
    for index, (policy, words) in enumerate(zip(program.policies, function.evidence_words, strict=True)):
        lines.append(f"        out[{at}] = (uint32_t)found.status_{index};")
        lines += [f"        out[{at + 2 + word}] = found.evidence_{index}[{word}];" for word in range(words)]
        at += 2 + 2 * policy.words
    for name, count in header.state.commits if header.state is not None else ():
        costs = "".join(f", x[{index}]" for index in range(count))
        lines.append(f"    }} else if (what == 2) {{ out[0] = (uint32_t)ripstop_{name}(&state, t_us{costs});")
    lines += [
        "    } else {",
        f"        uint8_t bytes[{size}];",
        "        ripstop_save(&state, bytes);",
        f"        out[0] = (uint32_t)ripstop_read(bytes + {size - 8}, 4);",
        "    }",
    ]
    return _glue(lines, f"{header.text}\nstatic ripstop_state state;", inputs, words_of(program))


def _wasm_glue(program: EdgeProgram, kept: Remembering, inputs: int) -> str:
    size = snapshot_bytes(kept.memory)
    samples = "".join(f", x[{index}]" for index in range(len(kept.memory.samples)))
    numbers = "".join(f", x[{index}]" for index in range(len(given(program, has_memory=True))))
    call = f"Z_policyZ_decide_{program.action}(&instance, (u64)t_us{numbers})"
    lines = [
        "    if (!is_started) { Z_policy_init_module(); Z_policy_instantiate(&instance); is_started = 1; }",
        "    if (what == 0) {",
        f"        out[0] = (uint32_t)Z_policyZ_observe(&instance, (u64)t_us, (u64)sampled{samples});",
        "    } else if (what == 1) {",
        f"        const __typeof__({call}) found = {call};",
        "        out[0] = found.i0;",
    ]
    lines += words_found(program)
    for made in kept.public:
        if made.name == f"commit_{program.action}":
            costs = "".join(f", x[{index}]" for index in range(len(made.costs)))
            commit = f"Z_policyZ_{made.name}(&instance, (u64)t_us{costs})"
            lines.append(f"    }} else if (what == 2) {{ out[0] = (uint32_t){commit};")
    lines += [
        "    } else {",
        "        Z_policyZ_save(&instance);",
        f"        memcpy(out, room + {size - 8}, 4);",
        "    }",
    ]
    return _glue(lines, RUNTIME.replace("ROOM", str(2 * size)), inputs, words_of(program))

"""Run a policy on an emulated Cortex-M3, compiled to C99 and, through wasm2c, from WebAssembly.

.venv/bin/python firmware/run.py policies/drone/payload_limit.json --context '{"battery_percent": 20}'
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import struct
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ripstop.backends.c99 import C99, build_header
from ripstop.backends.edge import EdgeProgram, actions_of, decision_program
from ripstop.backends.edge.host import decision_values
from ripstop.backends.wasm import WASM, build_module
from ripstop.policy import load, make_bundle, reference

HERE = Path(__file__).parent
TOOLS = ("arm-none-eabi-gcc", "arm-none-eabi-size", "arm-none-eabi-nm", "qemu-system-arm", "wasm2c")
PACKAGES = "gcc-arm-none-eabi libnewlib-arm-none-eabi qemu-system-arm wabt"
CPU = ("-mcpu=cortex-m3", "-mthumb")
FLAGS = (
    *CPU,
    "-Os",
    "-std=c99",
    "-ffp-contract=off",
    "-ffunction-sections",
    "-fdata-sections",
    "-ffreestanding",
)
STRICT = ("-Wall", "-Wextra", "-Wpedantic", "-Werror")
LINK = (
    "-nostartfiles",
    "-Wl,--gc-sections",
    "--specs=nosys.specs",
    "-T",
    str(HERE / "lm3s6965evb.ld"),
    "-lm",
)
LONGEST_S = 60
Row = tuple[int, tuple[int, ...], tuple[int, ...]]


def missing_tools() -> list[str]:
    """Give the tools that are not installed."""
    return [tool for tool in TOOLS if shutil.which(tool) is None]


@dataclass(frozen=True)
class Image:
    """A built image: its size in flash, the RAM that it holds for ever, the code of the policy alone."""

    path: Path
    flash_bytes: int
    static_ram_bytes: int
    policy_bytes: int


def words_of(program: EdgeProgram) -> int:
    """Count the 32-bit words of a row: the verdict, then for each policy its status and its evidence."""
    if program.action is None:
        return 1
    return 1 + sum(2 + 2 * policy.words for policy in program.policies)


def c99_glue(program: EdgeProgram) -> str:
    """Write `glue.h` around a C header."""
    header = build_header([program])
    (function,) = header.functions
    if program.action is None:
        call = f"{function.name}((const {function.name}_inputs *)in)"
        return _glue(program, header.text, [f"    out[0] = (uint32_t){call};"])
    lines = [
        f"    {function.name}_result found;",
        f"    {function.name}((const {function.name}_inputs *)in, &found);",
    ]
    lines.append("    out[0] = (uint32_t)found.verdict;")
    at = 1
    for index, (policy, words) in enumerate(zip(program.policies, function.evidence_words, strict=True)):
        lines.append(f"    out[{at}] = (uint32_t)found.status_{index};")
        lines.append(f"    out[{at + 1}] = (uint32_t)((uint64_t)found.status_{index} >> 32);")
        lines += [f"    out[{at + 2 + word}] = found.evidence_{index}[{word}];" for word in range(words)]
        at += 2 + 2 * policy.words
    return _glue(program, header.text, lines)


def wasm_glue(program: EdgeProgram, place: Path) -> str:
    """Translate a module by wasm2c and write `glue.h` around it."""
    translate(build_module([program]).code, place)
    prototype = re.search(r"(struct wasm_multi_\w+|u32) (\w+)\(\w+ ?\*", (place / "policy.h").read_text())
    if prototype is None:
        raise SystemExit("wasm2c wrote a header of another form")
    result, name = prototype.groups()
    arguments = "".join(f", in[{index}]" for index in range(len(program.inputs)))
    if program.action is None:
        return _glue(program, '#include "policy.h"', [f"    out[0] = {name}((void *)0{arguments});"])
    lines = [f"    const {result} found = {name}((void *)0{arguments});", "    out[0] = found.i0;"]
    return _glue(program, '#include "policy.h"', [*lines, *words_found(program)])


def words_found(program: EdgeProgram) -> list[str]:
    """Give the C lines that take a module's status and evidence words apart, behind the verdict in `out`."""
    lines = []
    for n in range(1, 1 + sum(1 + policy.words for policy in program.policies)):
        lines.append(f"    out[{2 * n - 1}] = (uint32_t)found.j{n};")
        lines.append(f"    out[{2 * n}] = (uint32_t)(found.j{n} >> 32);")
    return lines


def translate(module: bytes, place: Path) -> None:
    """Translate a module by wasm2c."""
    (place / "policy.wasm").write_bytes(module)
    _run(["wasm2c", "policy.wasm", "-n", "policy", "-o", "policy.c"], place)
    shutil.copy(_runtime_header(), place)


def _glue(program: EdgeProgram, declarations: str, lines: Sequence[str]) -> str:
    return "\n".join(
        [
            declarations,
            f"#define INPUTS {max(len(program.inputs), 1)}",
            f"#define WORDS {words_of(program)}",
            "__attribute__((noinline)) static void evaluate(const double *in, uint32_t *out)",
            "{",
            *lines,
            "}",
            "",
        ]
    )


def _runtime_header() -> Path:
    for folder in ("/usr/include", "/usr/src/wasm2c", "/usr/share/wabt/wasm2c"):
        found = Path(folder) / "wasm-rt.h"
        if found.exists():
            return found
    raise SystemExit("wasm-rt.h of wabt is not installed")


def build(program: EdgeProgram, place: Path, *, through_wasm: bool) -> Image:
    """Build an image in a folder."""
    glue = wasm_glue(program, place) if through_wasm else c99_glue(program)
    return build_image(glue, place, through_wasm=through_wasm)


def build_image(glue: str, place: Path, *, through_wasm: bool) -> Image:
    """Build an image around what calls the policy."""
    (place / "glue.h").write_text(glue)
    extra = [place / "policy.c"] if through_wasm else []
    for source in extra:
        # as it comes from wasm2c: not ours to warn about. No function calls itself: no depth to count.
        _run(
            [
                "arm-none-eabi-gcc",
                *FLAGS,
                "-DWASM_RT_USE_STACK_DEPTH_COUNT=0",
                "-DNDEBUG",
                "-w",
                "-c",
                str(source),
                "-o",
                "policy.o",
            ],
            place,
        )
    strict = () if through_wasm else STRICT
    _run(
        [
            "arm-none-eabi-gcc",
            *FLAGS,
            *strict,
            "-I",
            str(place),
            "-c",
            str(HERE / "harness.c"),
            "-o",
            "harness.o",
        ],
        place,
    )
    objects = ["harness.o", *(["policy.o"] if through_wasm else [])]
    _run(["arm-none-eabi-gcc", *CPU, *objects, *LINK, "-o", "image.elf"], place)
    text, data, bss = _run(["arm-none-eabi-size", "image.elf"], place).splitlines()[1].split()[:3]
    symbols = _run(["arm-none-eabi-nm", "-S", "image.elf"], place)
    pattern = r"\w+ (\w+) [tT] (?:evaluate|ripstop_\w*|w2c\w*|Z_policy\w*)"
    code = sum(int(size, 16) for size in re.findall(pattern, symbols))
    return Image(place / "image.elf", int(text) + int(data), int(data) + int(bss), code)


def run(image: Image, program: EdgeProgram, rows: Sequence[Sequence[float]]) -> list[Row]:
    """Run an image over rows of inputs; give each row's verdict, statuses and evidence codes."""
    packed = [struct.pack(f"<{len(row)}d", *row) for row in rows]
    return [row_of(program, each) for each in run_rows(image, packed, 4 * words_of(program))]


def run_rows(image: Image, rows: Sequence[bytes], size: int) -> list[bytes]:
    """Run an image over rows; give its answers, `size` bytes each."""
    place = image.path.parent
    (place / "trace.bin").write_bytes(b"".join(rows))
    machine = ["qemu-system-arm", "-M", "lm3s6965evb", "-nographic", "-monitor", "none", "-serial", "none"]
    _run([*machine, "-semihosting-config", "enable=on,target=native", "-kernel", "image.elf"], place)
    found = (place / "found.bin").read_bytes()
    if len(found) != size * len(rows):
        raise SystemExit(f"the image answered {len(found) // size} of {len(rows)} rows")
    return [found[at : at + size] for at in range(0, len(found), size)]


def row_of(program: EdgeProgram, content: bytes) -> Row:
    """Take an answer apart."""
    verdict, *words = struct.unpack(f"<i{len(content) // 4 - 1}I", content)
    statuses, codes, at = [], [], 0
    for policy in program.policies if program.action is not None else ():
        statuses.append(words[at] | words[at + 1] << 32)
        parts = words[at + 2 : at + 2 + 2 * policy.words]
        codes.append(sum(part << 32 * index for index, part in enumerate(parts)))
        at += 2 + 2 * policy.words
    return verdict, tuple(statuses), tuple(codes)


def _run(command: Sequence[str], place: Path) -> str:
    done = subprocess.run(  # noqa: S603 (tools that were asked for)
        list(command), cwd=place, capture_output=True, text=True, timeout=LONGEST_S, check=False
    )
    if done.returncode:
        raise SystemExit(f"{command[0]} failed:\n{done.stderr}")
    return done.stdout


def main() -> None:
    """Build both images for a policy and run one context."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("policy", type=Path)
    parser.add_argument("--action", help="which guarded action (default: the first)")
    parser.add_argument("--context", default="{}", help="a JSON object")
    given = parser.parse_args()
    if missing_tools():
        raise SystemExit(f"not installed: {', '.join(missing_tools())} (apt-get install {PACKAGES})")
    bundle = make_bundle([load(given.policy)])
    action = given.action or next(iter(actions_of(bundle)))
    for name, engine in (("c99", C99), ("wasm2c", WASM)):
        program = decision_program(bundle, action, engine)
        values = decision_values(program, reference.Inputs(bundle, action, json.loads(given.context), 0, {}))
        with tempfile.TemporaryDirectory() as folder:
            image = build(program, Path(folder), through_wasm=engine is WASM)
            (row,) = run(image, program, [values])
        sys.stdout.write(
            f"{name}: verdict {row[0]}, evidence {[hex(code) for code in row[2]]}; "
            f"policy {image.policy_bytes} bytes, image {image.flash_bytes}, "
            f"static RAM {image.static_ram_bytes}\n"
        )


if __name__ == "__main__":
    main()

"""Runs a Python program whose generated C is compiled with sanitizers: the first fault ends it.

.venv/bin/python tests/sanitized.py tests/engine_soak.py --pairs 8000

Addresses, undefined behaviour, and floats that do not fit the integers that they are made are looked at; with
clang, integers that lose bits, too. Where no compiler has its sanitizers, that is said and nothing is run.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

KINDS = "address,undefined,float-cast-overflow"
COMPILERS = {  # with the library that has to be there before Python's own memory is, and the flags
    "clang": ("libclang_rt.asan-x86_64.so", [f"-fsanitize={KINDS},integer", "-shared-libasan"]),
    "gcc": ("libasan.so", [f"-fsanitize={KINDS}"]),
}
HANDLED = "handle_segv=0:handle_sigbus=0:handle_sigill=0:handle_sigfpe=0"  # wasmtime has handlers of its own


def found() -> tuple[str, str, list[str]] | None:
    """Give a compiler that has its sanitizers, the library, and the flags."""
    for name, (library, flags) in COMPILERS.items():
        compiler = shutil.which(name)
        if compiler is not None:
            asked = [compiler, f"-print-file-name={library}"]
            path = subprocess.run(asked, capture_output=True, text=True, check=True).stdout.strip()
            if Path(path).is_absolute():
                return compiler, path, [*flags, "-O1", "-g", "-fno-sanitize-recover=all"]
    return None


def run(arguments: Sequence[str]) -> int:
    """Run a program; give how it ended."""
    made = found()
    if made is None:
        sys.stdout.write("no compiler here has its sanitizers: nothing was run\n")
        return 0
    compiler, library, flags = made
    with tempfile.TemporaryDirectory() as place:
        wrapper = Path(place) / "cc"
        wrapper.write_text(f'#!/bin/sh\nexec {shlex.join([compiler, *flags])} "$@"\n')
        wrapper.chmod(0o755)
        asan = f"detect_leaks=0:allow_user_segv_handler=1:{HANDLED}"
        more = {"CC": str(wrapper), "LD_PRELOAD": library, "ASAN_OPTIONS": asan}
        return subprocess.run(
            [sys.executable, *arguments], env={**os.environ, **more}, check=False
        ).returncode


if __name__ == "__main__":
    raise SystemExit(run(sys.argv[1:]))

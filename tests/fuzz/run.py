"""Run a fuzz target under atheris: run.py TARGET [libFuzzer's options] [corpus folder].

Without INSTRUMENT=1 in the environment inputs are mutated blindly, without coverage of the code under test.
"""

from __future__ import annotations

import contextlib
import os
import sys

import atheris

guided = os.environ.get("INSTRUMENT") == "1"
with atheris.instrument_imports(include=["ripstop"]) if guided else contextlib.nullcontext():
    from targets import TARGETS


def main() -> None:
    """Hand the target to atheris."""
    target = TARGETS[sys.argv.pop(1)]
    atheris.Setup(sys.argv, target)
    atheris.Fuzz()


if __name__ == "__main__":
    main()

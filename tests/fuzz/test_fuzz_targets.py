"""The fuzz targets over what was once found, and over a few thousand random inputs."""

import importlib.util
import sys
from pathlib import Path

import pytest

from edge_programs import generator

HERE = Path(__file__).parent
_spec = importlib.util.spec_from_file_location("fuzz_targets", HERE / "targets.py")
targets = importlib.util.module_from_spec(_spec)
sys.modules["fuzz_targets"] = targets
_spec.loader.exec_module(targets)

pytest.importorskip("wasmtime", reason="wasmtime is not installed")
FOUND = sorted((HERE / "regressions").glob("*/*"))


@pytest.mark.parametrize("target", targets.TARGETS)
def test_random_bytes_end_only_in_promised_errors(target):
    rng = generator(5)
    for _ in range(150 if target == "wasm" else 600):
        targets.TARGETS[target](rng.randbytes(rng.randint(0, 60)))


@pytest.mark.parametrize("path", FOUND, ids=lambda path: f"{path.parent.name}-{path.name}")
def test_what_was_found_once_stays_mended(path):
    targets.TARGETS[path.parent.name](path.read_bytes())

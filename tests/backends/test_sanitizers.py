"""What runs generated C under sanitizers sees a fault, and lets sound code pass."""

import pytest

import sanitized

LIBRARY = """
from ripstop.backends.c99.host import build_library
body = "int grown(int x); int grown(int x) { return x + 1; }"
print(build_library(["#include <stdint.h>", body]).grown(%d))
"""


@pytest.mark.skipif(sanitized.found() is None, reason="no compiler here has its sanitizers")
def test_a_fault_of_generated_code_ends_the_program(capfd):
    assert sanitized.run(["-c", LIBRARY % 2]) == 0
    assert sanitized.run(["-c", LIBRARY % (2**31 - 1)]) != 0
    assert "signed integer overflow" in capfd.readouterr().err

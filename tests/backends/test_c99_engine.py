"""The c99 engine: warning-free with two compilers, self-contained, hostile names."""

import shutil
import subprocess

import pytest

from edge_programs import VOCABULARY, Programs, generator
from ripstop.backends import compile as compile_policies
from ripstop.backends import emit
from ripstop.backends.c99.names import comment, identifier, unique
from ripstop.core.decision import Verdict
from ripstop.policy import load

FLAGS = ["-std=c99", "-Wall", "-Wextra", "-Wpedantic", "-Werror", "-ffp-contract=off", "-fsyntax-only"]
RULE_A = {"if": [{"<": [{"var": "battery"}, 30]}, {"<=": [{"var": "payload"}, 1.0]}, True]}
HOSTILE = {
    "and": [{"<": [{"var": name}, 3]} for name in ("int", "a b", "a-b", "*/ x", "é", "9", "??/", "b1", "in")]
}


def compilers():
    found = [name for name in ("gcc", "clang") if shutil.which(name)]
    return found or [pytest.param("", marks=pytest.mark.skip(reason="no C compiler is installed"))]


def drawn(seed):
    programs = Programs(generator(seed), remainder=True)
    return [programs.policy(number) for number in range(6)]


@pytest.mark.parametrize("compiler", compilers())
@pytest.mark.parametrize("optimised", ["-O0", "-O2"])
def test_a_header_compiles_without_a_warning(compiler, optimised, tmp_path):
    headers = [emit(load(RULE_A), "c99", evidence=False, prefix="a"), emit(load(HOSTILE), "c99", prefix="h")]
    headers.append(emit(drawn(5), "c99", vocabulary=VOCABULARY, prefix="many"))
    headers.append(emit(drawn(5), "c99", vocabulary=VOCABULARY, evidence=False, prefix="raw"))
    for number, header in enumerate(headers):
        (tmp_path / f"h{number}.h").write_bytes(header)
    source = "".join(f'#include "h{number}.h"\n' for number in range(len(headers)))
    (tmp_path / "main.c").write_text(source + "int main(void) { return 0; }\n")
    subprocess.run([compiler, *FLAGS, optimised, "main.c"], cwd=tmp_path, check=True, timeout=120)


def test_a_header_needs_no_heap_and_no_library():
    text = emit(load(RULE_A), "c99").decode()
    assert "malloc" not in text
    assert "static double" not in text
    assert "fmod" not in text
    assert "for (" not in text
    assert "while (" not in text


def test_hostile_names_become_identifiers_of_their_own():
    assert identifier("int") == "int_"
    assert identifier("9 lives") == "v_9_lives"
    assert unique(["a b", "a-b", "a_b"]) == ["a_b", "a_b_2", "a_b_3"]
    assert "*/" not in comment("x */ y")
    assert "\n" not in comment("x\ny")


def test_c_decides_about_hostile_names_as_the_reference_does():
    names = [part["<"][0]["var"] for part in HOSTILE["and"]]
    compiled = compile_policies(load(HOSTILE), "c99")
    assert compiled.verdict(dict.fromkeys(names, 1.0)) is Verdict.ALLOW
    assert compiled.verdict({**dict.fromkeys(names, 1.0), "in": 4}) is Verdict.DENY
    assert compiled.verdict({**dict.fromkeys(names, 1.0), "b1": None}) is Verdict.UNKNOWN

"""Every engine held to the reference over drawn policies and traces: verdict, limits, evidence, UNKNOWN."""

from collections import Counter

import pytest

from engine_soak import soak_batch
from ripstop.backends import ENGINES, c99, columns, wasm
from ripstop.backends.python import LOWERINGS, NOT_LOWERED
from ripstop.policy.operators import OPERATORS


@pytest.mark.parametrize("seed", [101, 102, 103])
def test_every_engine_says_what_the_reference_says(seed):
    counts = Counter()
    assert soak_batch(seed, 12, 60, counts) == 720
    assert counts["allow"] > 100
    assert counts["deny"] > 100
    assert counts["decided by a device"] > 300


@pytest.mark.parametrize("engine", [wasm, c99, columns])
def test_an_engine_has_each_operator_or_says_why_not(engine):
    for name in OPERATORS:
        assert (name in engine.LOWERINGS) != (name in engine.NOT_LOWERED), name
        assert engine.NOT_LOWERED.get(name, "a reason")


def test_the_engines_are_the_four_of_the_table():
    assert ENGINES == ("python", "wasm", "c99", "columns")
    assert LOWERINGS
    assert NOT_LOWERED

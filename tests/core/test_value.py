"""Quick frozen values are frozen dataclasses like all others, only made faster."""

from __future__ import annotations

import copy
import pickle
from dataclasses import FrozenInstanceError, dataclass, replace

import pytest

from ripstop.core.value import quick


@quick
@dataclass(frozen=True, slots=True, order=True)
class Reading:
    name: str
    value: float = 0.0
    unit: str = "V"


def test_a_quick_value_takes_what_the_plain_one_would() -> None:
    assert Reading("a") == Reading(name="a", value=0.0, unit="V")
    assert repr(Reading("a", 1.0)) == "Reading(name='a', value=1.0, unit='V')"
    assert Reading("a") < Reading("b")
    with pytest.raises(TypeError, match="name"):
        Reading()  # type: ignore[call-arg]  # what a caller without types may do
    with pytest.raises(TypeError, match="size"):
        Reading("a", size=1)  # type: ignore[call-arg]  # what a caller without types may do


def test_a_quick_value_stays_frozen() -> None:
    reading = Reading("a")
    with pytest.raises(FrozenInstanceError):
        reading.value = 2.0  # type: ignore[misc]  # what a caller without types may do
    assert hash(reading) == hash(Reading("a"))


def test_a_quick_value_is_replaced_copied_and_pickled_like_any_other() -> None:
    reading = Reading("a", 3.0)
    assert replace(reading, unit="A") == Reading("a", 3.0, "A")
    assert copy.deepcopy(reading) == reading
    assert pickle.loads(pickle.dumps(reading)) == reading  # noqa: S301 (our own bytes)

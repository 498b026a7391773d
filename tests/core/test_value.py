"""Our dataclasses are those of the standard library, made with less."""

import copy
import dataclasses
import inspect
import pickle
from dataclasses import field, fields, is_dataclass, replace

import pytest

from ripstop.core.clock import Instant
from ripstop.core.value import dataclass


@dataclass(frozen=True, slots=True)
class Ours:
    """A class with everything that is used of dataclasses."""

    name: str
    level: int = 3
    tags: tuple[str, ...] = ()
    seen: list[int] = field(default_factory=list)
    secret: bytes = field(default=b"", repr=False, compare=False)
    size: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "size", len(self.name))


@dataclasses.dataclass(frozen=True, slots=True)
class Theirs:
    """The same, by the standard library."""

    name: str
    level: int = 3
    tags: tuple[str, ...] = ()
    seen: list[int] = field(default_factory=list)
    secret: bytes = field(default=b"", repr=False, compare=False)
    size: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "size", len(self.name))


@dataclass(slots=True)
class Open:
    """One that can be changed."""

    count: int = 0


@dataclass(frozen=True, slots=True)
class One:
    """A single field."""

    only: str


@dataclass(frozen=True)
class Roomy:
    """Without slots."""

    only: str


def test_both_take_print_and_describe_the_same():
    ours, theirs = Ours("a", tags=("x",), secret=b"s"), Theirs("a", tags=("x",), secret=b"s")
    assert repr(ours) == repr(theirs).replace("Theirs", "Ours")
    assert [f.name for f in fields(Ours)] == [f.name for f in fields(Theirs)]
    assert [(p.name, p.kind) for p in inspect.signature(Ours).parameters.values()] == [
        (p.name, p.kind) for p in inspect.signature(Theirs).parameters.values()
    ]
    assert Ours.__match_args__ == Theirs.__match_args__
    assert is_dataclass(Ours)
    assert ours.seen is not Ours("b").seen
    for wrong in ({}, {"name": "a", "size": 1}, {"name": "a", "other": 1}):
        with pytest.raises(TypeError):
            Ours(**wrong)
        with pytest.raises(TypeError):
            Theirs(**wrong)


def test_equality_and_hash_look_at_the_fields_that_are_compared():
    assert Ours("a", secret=b"1") == Ours("a", secret=b"2") != Ours("b")
    assert Ours("a") != Theirs("a")
    assert One("a") == One("a") != Roomy("a")
    assert hash(One("a")) == hash(One("a")) == hash(("a",))
    assert Open(1) == Open(1)
    with pytest.raises(TypeError):
        hash(Open(1))
    with pytest.raises(TypeError):
        hash(Ours("a"))  # a list in it has none


@pytest.mark.parametrize("made", [Ours("a"), One("a"), Roomy("a"), Instant(1, 2, "b")])
def test_what_is_frozen_stays_so_and_can_be_copied_pickled_and_replaced(made):
    name = fields(made)[0].name
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(made, name, 1)
    with pytest.raises(dataclasses.FrozenInstanceError):
        delattr(made, name)
    assert pickle.loads(pickle.dumps(made)) == copy.deepcopy(made) == copy.copy(made) == made  # noqa: S301 - our own
    other = replace(made, **{name: 9}) if not isinstance(made, Ours) else replace(made, name="other")
    assert other != made


def test_what_is_open_can_be_changed_and_one_that_holds_itself_can_be_printed():
    made = Open()
    made.count = 5
    assert made == Open(5)
    assert pickle.loads(pickle.dumps(made)) == made  # noqa: S301 - our own
    made.count = made
    assert repr(made) == "Open(count=...)"


@dataclass(frozen=True, slots=True, order=True)
class Ranked:
    """One that has an order."""

    epoch: int = 0
    step: int = 0
    note: str = field(default="", compare=False)


def test_what_has_an_order_is_ordered_as_its_compared_fields_are():
    low, high = Ranked(1, 9, "b"), Ranked(2, 0, "a")
    assert low < high
    assert low <= high
    assert high > low
    assert high >= low
    assert max(high, low) is high
    assert Ranked(1, 9, "c") <= low
    assert not Ranked(1, 9, "c") < low
    with pytest.raises(TypeError):
        assert low < One("a")


def test_a_signature_is_seen_before_anything_was_made():
    @dataclass(frozen=True, slots=True)
    class Unmade:
        """A class of which nothing is made."""

        first: int
        second: str = "b"

    assert str(inspect.signature(Unmade)) == "(first: int, second: str = 'b') -> None"
    assert Unmade.__init__ is Unmade.__init__
    assert Unmade(1) == Unmade(first=1, second="b")


@dataclass(frozen=True, slots=True)
class Wide:
    """One of many fields, which are written another way."""

    a: int
    b: int = 1
    c: int = 2
    d: int = 3
    e: list[int] = field(default_factory=list)
    f: int = field(default=5, kw_only=True)


class Wider(Wide):
    """One that has room for more, and is made by the same `__init__`."""

    __slots__ = ("more",)


@pytest.mark.parametrize("kind", [Wide, Wider])
def test_a_class_of_many_fields_is_frozen_once_it_is_made(kind):
    made = kind(0, 7, f=9)
    assert type(made) is kind
    assert [getattr(made, each.name) for each in fields(made)] == [0, 7, 2, 3, [], 9]
    with pytest.raises(dataclasses.FrozenInstanceError):
        made.a = 1
    with pytest.raises(dataclasses.FrozenInstanceError):
        del made.a
    assert isinstance(made, Wide)
    assert pickle.loads(pickle.dumps(made)) == made  # noqa: S301 - our own

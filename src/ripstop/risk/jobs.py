"""Questions as jobs: what anybody needs to count a range of worlds, as an object and as bytes.

The bytes are a head in JSON, its length before it, and the columns that the head lists, one behind the other.
Nothing that is read from them is larger than they are.
"""

from __future__ import annotations

import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ripstop.core.errors import WireError
from ripstop.risk.errors import RiskInputError
from ripstop.risk.flow import GRID, FlowGrid
from ripstop.risk.flowrun import BUSES, DEMAND_SPREAD, FLOW, LINES, FlowRun
from ripstop.risk.graph import GRAPH, Graph
from ripstop.risk.kinds import Kind
from ripstop.risk.models import MODELS
from ripstop.risk.runs import CountedRun, Counts
from ripstop.risk.settings import SETTINGS, Settings, check_seed, check_spread, check_theta, check_whole

LANES = 64  # worlds of a block; only the last range of all may break one
KEPT = ("expected", "tolerance", "spread")  # those that what is counted depends on
LENGTH = 4  # bytes that say how long the head is
TYPES = ("<i4", "<i8", "<f8")
COLUMNS = ("source", "target", "susceptance", "demand", "generation", "capacity", "pushed")
GRIDS = {LINES: FLOW, BUSES: "flow-buses"}  # the model that a job names: a worker knows it or refuses

WIDEST = 10.0  # deviation of a logarithm: what is drawn differs by a factor of 1e20 and more

Range = tuple[int, int]
"""Worlds from the first up to, but without, the second."""


class Question(ABC):
    """What anybody can count ranges of worlds for, without the number of worlds."""

    @property
    @abstractmethod
    def size(self) -> int:
        """How many nodes, or lines, are counted for."""

    @property
    @abstractmethod
    def run(self) -> CountedRun:
        """The model laid out, with nothing counted: copied, never counted with."""

    @property
    @abstractmethod
    def content(self) -> bytes:
        """The job as bytes; names stay at home."""

    def count(self, worlds: Range) -> Counts:
        """Count one range of worlds; from several threads at once, if need be.

        Raises:
            RiskInputError: C0712, for a range that begins within a block of 64, or holds nothing.
        """
        return self.count_all([worlds])

    def count_all(self, ranges: Iterable[Range]) -> Counts:
        """Count several ranges, each as `count`, into one sum; they are asked for one after the other."""
        part, worlds = self.run.fresh(), 0
        for each in ranges:
            first, last = checked_range(each)
            part.sample(first, last)
            worlds += last - first
        return Counts(worlds, part.hits, part.mass, part.before)

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the bytes: what units name the job by."""
        return hashlib.sha256(self.content).hexdigest()


@dataclass(frozen=True, eq=False)
class Job(Question):
    """A question on a graph, as `assess` asks it.

    Raises:
        RiskInputError: C0701, C0711, C0713, C0714.
    """

    graph: Graph
    theta: float = 0.5
    seed: int = 0
    model: str = "percolation"
    settings: Settings = field(default_factory=Settings)

    def __post_init__(self) -> None:
        GRAPH.check("graph", self.graph)
        check_theta(self.theta)
        check_seed(self.seed)
        SETTINGS.check("settings", self.settings)
        if not isinstance(self.model, str) or self.model not in MODELS:
            raise RiskInputError(
                f"model is `{self.model}`, expected one of {', '.join(f'`{name}`' for name in MODELS)}",
                code="C0714",
            )

    @property
    def size(self) -> int:
        """How many nodes the graph has."""
        return len(self.graph.nodes)

    @cached_property
    def run(self) -> CountedRun:
        """The model laid out on the graph, with nothing counted: copied, never counted with."""
        return MODELS[self.model](self.graph, self.theta, self.seed, self.settings)

    @cached_property
    def content(self) -> bytes:
        """The job as bytes; names of nodes stay at home."""
        how = {name: getattr(self.settings, name) for name in KEPT}
        asked = {"theta": self.theta, "seed": self.seed, "model": self.model, "settings": how}
        head = asked | {"directed": self.graph.directed, "nodes": self.size}
        columns = {f"q_{name}": np.asarray(q) for name, q in self.graph.quantities.items()}
        columns |= {name: np.asarray(getattr(self.graph, name)) for name in ("source", "target", "weight")}
        return packed(head, columns)


JOB = Kind("a question", Job)


@dataclass(frozen=True, eq=False)
class FlowJob(Question):
    """A question on a power grid, as `assess_flow` asks it of lines and `assess_buses` of buses.

    Raises:
        RiskInputError: C0711, C0713, C0715, C0741.
    """

    grid: FlowGrid
    theta: float = 0.05
    seed: int = 0
    demand_spread: float = DEMAND_SPREAD
    settings: Settings = field(default_factory=Settings)
    of: str = LINES

    def __post_init__(self) -> None:
        GRID.check("grid", self.grid)
        SETTINGS.check("settings", self.settings)
        check_theta(self.theta)
        check_seed(self.seed)
        if not isinstance(self.of, str) or self.of not in GRIDS:
            raise RiskInputError(f"`of` is `{self.of}`, expected `{LINES}` or `{BUSES}`", code="C0715")
        for name, spread in (("demand_spread", self.demand_spread), ("spread", self.settings.spread or 0.0)):
            if check_spread(name, spread, "C0741") > WIDEST:
                raise RiskInputError(f"`{name}` is {spread:g}, expected at most {WIDEST:g}", code="C0741")

    @property
    def size(self) -> int:
        """How many lines, or buses, the grid has."""
        return len(self.names)

    @property
    def _spreads(self) -> tuple[float, float]:
        return float(self.demand_spread), float(self.settings.spread or 0.0)

    @property
    def names(self) -> tuple[Hashable, ...]:
        """What trips, one after the other."""
        return self.grid.buses if self.of == BUSES else self.grid.lines

    @cached_property
    def run(self) -> FlowRun:
        """The model laid out on the grid, with nothing counted: copied, never counted with."""
        return FlowRun(self.grid, self.theta, self.seed, self._spreads, self.of)

    @cached_property
    def content(self) -> bytes:
        """The job as bytes; names stay at home."""
        asked = {"theta": self.theta, "seed": self.seed, "model": GRIDS[self.of]}
        head = asked | dict(zip(("demand_spread", "spread"), self._spreads, strict=True))
        return packed(head, {name: np.asarray(getattr(self.grid, name)) for name in COLUMNS})


def job_of(content: bytes) -> Question:
    """Read a job from bytes.

    Raises:
        WireError: W1001, for bytes that are none.
        RiskInputError: C0702 to C0714 or C0741, for what is in it.
    """
    head, columns = unpacked(content, "job")
    try:
        return (_flow_job if head["model"] in GRIDS.values() else _graph_job)(head, columns)
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise WireError("the bytes are no job of cascade worlds", code="W1001") from error


def _graph_job(head: Mapping[str, Any], columns: Mapping[str, NDArray[Any]]) -> Job:
    ends = np.stack([columns["source"], columns["target"]], axis=1)
    quantities = {name[2:]: column for name, column in columns.items() if name.startswith("q_")}
    nodes = range(check_whole("nodes", head["nodes"], "C0702", least=0, below=1 << 31))
    graph = Graph.from_arrays(
        nodes, ends, columns["weight"], directed=head["directed"] is True, quantities=quantities
    )
    return Job(graph, head["theta"], head["seed"], head["model"], Settings(**head["settings"]))


def _flow_job(head: Mapping[str, Any], columns: Mapping[str, NDArray[Any]]) -> FlowJob:
    ends = np.stack([columns["source"], columns["target"]], axis=1)
    with np.errstate(divide="ignore"):
        reactance = 1.0 / columns["susceptance"]
    given = FlowGrid.from_arrays(
        ends,
        reactance,
        columns["demand"],
        columns["generation"],
        columns["capacity"],
        pushed=columns["pushed"],
    )
    grid = replace(given, susceptance=columns["susceptance"])  # to the last bit
    how = Settings(spread=head["spread"])
    of = next(of for of, model in GRIDS.items() if model == head["model"])
    return FlowJob(grid, head["theta"], head["seed"], head["demand_spread"], how, of)


def parts_of(worlds: Range, parts: int) -> list[Range]:
    """Cut a range into at most so many, each but the last a multiple of 64."""
    first, last = checked_range(worlds)
    blocks = -(-(last - first) // LANES)
    cuts = np.unique(np.linspace(0, blocks, min(parts, blocks) + 1).astype(np.int64)) * LANES + first
    ends = np.minimum(cuts, last).tolist()
    return list(pairwise(ends))


def shrinking(worlds: Range, workers: int) -> Iterator[Range]:
    """Cut a range into parts that shrink, so that all workers, who take them in turn, are done together.

    References:
        Polychronopoulos, Kuck (1987), Guided self-scheduling, IEEE Transactions on Computers C-36.
    """
    first, last = checked_range(worlds)
    while first < last:
        blocks = -(-(last - first) // (2 * workers * LANES))
        yield first, min(first + blocks * LANES, last)
        first += blocks * LANES


def checked_range(worlds: Range) -> Range:
    """Give a range if it is one, and begins with a block.

    Raises:
        RiskInputError: C0712.
    """
    if not isinstance(worlds, Sequence) or len(worlds) != 2:
        raise RiskInputError(
            f"`worlds` is `{worlds}`, expected the first and the one behind the last", code="C0712"
        )
    first = check_whole("first", worlds[0], "C0712", least=0, below=1 << 31)
    last = check_whole("last", worlds[1], "C0712", least=first + 1, below=(1 << 31) + 1)
    if first % LANES:
        raise RiskInputError(
            f"a range begins with world {first}, expected a multiple of {LANES}", code="C0712"
        )
    return first, last


def packed(head: Mapping[str, Any], columns: Mapping[str, NDArray[Any]]) -> bytes:
    """Write a head and columns of numbers as bytes."""
    laid = {name: column.astype(column.dtype.newbyteorder("<")) for name, column in columns.items()}
    listed = [[name, column.dtype.str, len(column)] for name, column in laid.items()]
    text = json.dumps({"head": head, "columns": listed}, sort_keys=True).encode()
    return b"".join(
        [len(text).to_bytes(LENGTH, "little"), text, *(column.tobytes() for column in laid.values())]
    )


def unpacked(content: bytes, what: str) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """Read a head and columns of numbers from bytes; the columns share their memory.

    Raises:
        WireError: W1001, for bytes that are none, or more or fewer than they say.
    """
    try:
        at = LENGTH + int.from_bytes(content[:LENGTH], "little")
        whole = json.loads(content[LENGTH:at])
        head, columns = dict(whole["head"]), {}
        for name, kind, count in whole["columns"]:
            columns[str(name)] = column = _column(content, at, kind, count)
            at += column.nbytes
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise WireError(f"the bytes are no {what} of cascade worlds", code="W1001") from error
    if at != len(content):
        raise WireError(f"the bytes are no {what} of cascade worlds: some are left over", code="W1001")
    return head, columns


def _column(content: bytes, at: int, kind: object, count: object) -> NDArray[Any]:
    if kind not in TYPES or not isinstance(count, int) or count < 0:
        raise ValueError(kind)
    return np.frombuffer(content, str(kind), count, at) if count else np.zeros(0, str(kind))

"""Work that is shared out gives the same bytes, whoever counts it and however it is cut."""

from __future__ import annotations

import json
import tracemalloc
import zlib
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import pairwise

import networkx as nx
import numpy as np
import pytest

from ripstop.core.errors import WireError
from ripstop.risk import (
    FlowGrid,
    FlowJob,
    Graph,
    ItemLoad,
    Job,
    Pool,
    Processes,
    Queue,
    RiskInputError,
    RiskReport,
    Settings,
    Threads,
    Worker,
    assess,
    assess_buses,
    assess_flow,
    assess_load,
)
from ripstop.risk.flowrun import UNITS
from ripstop.risk.jobs import Question, Range, job_of, packed, parts_of, shrinking
from ripstop.risk.runs import Counts
from ripstop.risk.work import Unit, counts_of, unit_of

MODELS = ("percolation", "threshold", "load")


def graph(*, directed: bool = False, weight: float = 0.3) -> Graph:
    source = nx.gnm_random_graph(40, 120, seed=1, directed=directed)
    for k, (_, _, d) in enumerate(source.edges(data=True)):
        d["weight"] = weight * (0.5 + k / 120)
    for node, d in source.nodes(data=True):
        d["consequence"] = 1.0 + node % 3
    return Graph.from_networkx(source)


def figures(report: RiskReport) -> tuple[object, ...]:
    share = None if report.expected_share is None else report.expected_share.tobytes()
    return report.hits.tobytes(), share, report.trials, report.low.tobytes(), report.high.tobytes()


class OneByOne:
    """The hardest cut: every block by itself, the last first."""

    def count(self, job: Question, worlds: Range) -> Iterator[Counts]:
        for part in reversed(parts_of(worlds, 1 << 20)):
            yield job.count(part)


class Network:
    """A queue to workers that each know nothing, lose some units, and answer in any order."""

    def __init__(self, *, lose: float = 0.0) -> None:
        self.kept: dict[str, bytes] = {}
        self.sent: list[bytes] = []
        self._rng, self._lose = np.random.default_rng(1), lose
        self._workers = ThreadPoolExecutor(2)

    def keep(self, digest: str, content: bytes) -> None:
        assert digest not in self.kept
        self.kept[digest] = content

    def submit(self, unit: bytes) -> Future[bytes]:
        self.sent.append(unit)
        lost = self._rng.random() < self._lose
        return self._workers.submit(self._lost if lost else Worker(self.kept.__getitem__).answer, unit)

    def _lost(self, _: bytes) -> bytes:
        raise TimeoutError


@pytest.mark.parametrize("directed", [False, True])
@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("expected", [False, True])
def test_the_bytes_are_the_same_whoever_counts(model: str, directed: bool, expected: bool) -> None:
    asked = {"theta": 0.3, "trials": 1000, "seed": 7, "model": model}
    one = graph(directed=directed)
    alone = figures(assess(one, settings=Settings(expected=expected), **asked))  # type: ignore[arg-type]
    network = Network()
    pools: list[Pool] = [Threads(3), OneByOne(), Queue(network.keep, network.submit, parts=5)]
    ways = [
        Settings(expected=expected, workers=2),
        *(Settings(expected=expected, pool=pool) for pool in pools),
    ]
    for settings in ways:
        assert figures(assess(one, settings=settings, **asked)) == alone  # type: ignore[arg-type]
    assert len(network.kept) == 1
    assert all(len(unit) < 200 for unit in network.sent)


def grid(alpha: float = 0.2) -> FlowGrid:
    source = nx.gnm_random_graph(12, 22, seed=4)
    rng = np.random.default_rng(4)
    made = np.where(np.arange(12) < 4, 60.0, 0.0)
    return FlowGrid.from_arrays(
        list(source.edges), rng.uniform(0.05, 0.3, 22), rng.uniform(5, 30, 12), made
    ).with_capacity(alpha, 1.0)


def test_line_outages_are_the_same_bytes_whoever_plays_them() -> None:
    alone = assess_flow(grid(), trials=200, seed=3)
    assert alone.probability.max() > 0.0
    network = Network(lose=0.2)
    with Processes(2) as processes:
        pools: list[Pool] = [Threads(2), Queue(network.keep, network.submit, attempts=50), processes]
        for pool in pools:
            shared = assess_flow(grid(), trials=200, seed=3, settings=Settings(pool=pool))
            assert figures(shared) == figures(alone)
    wide = assess_flow(grid(), trials=200, seed=3, settings=Settings(fleet_wide=True))
    assert (wide.high - wide.low > alone.high - alone.low).all()
    for of in ("lines", "buses"):
        job = FlowJob(grid(), 0.1, 3, 0.2, of=of)
        assert job_of(job.content).content == job.content
    buses = assess_buses(grid(), trials=200, seed=3, settings=Settings(pool=Threads(2)))
    assert figures(buses) == figures(assess_buses(grid(), trials=200, seed=3))
    with pytest.raises(RiskInputError, match="expected `lines` or `buses`"):
        FlowJob(grid(), of="towns")


def test_what_is_lost_before_anything_trips_is_told_the_same_whoever_counts() -> None:
    of = grid(alpha=0.05)
    asked = {"trials": 300, "seed": 3, "demand_spread": 0.3}
    alone = assess_flow(of, **asked)  # type: ignore[arg-type]
    assert "before anything trips" in alone.notes[0]
    network = Network(lose=0.2)
    with Processes(2) as processes:
        pools: list[Pool] = [
            Threads(3),
            OneByOne(),
            Queue(network.keep, network.submit, attempts=50),
            processes,
        ]
        for pool in pools:
            assert assess_flow(of, settings=Settings(pool=pool), **asked).notes == alone.notes  # type: ignore[arg-type]
    assert assess_buses(of, settings=Settings(workers=2), **asked).notes == alone.notes  # type: ignore[arg-type]


def test_an_answer_tells_as_much_of_before_as_its_question_knows() -> None:
    flow, plain = FlowJob(grid(alpha=0.05), 0.05, 3, 0.3), Job(graph())
    counts = {job: job.count((0, 64)) for job in (flow, plain)}
    assert counts[plain].before.tolist() == []
    worlds, lost = counts[flow].before.tolist()
    assert 0 < worlds < 64
    assert 0 < lost < worlds * UNITS
    for job, before in ((flow, []), (flow, [65, 0]), (flow, [-1, 0]), (plain, [0, 0]), (flow, [1.0, 2.0])):
        unit = Unit(job.digest, (0, 64))
        columns = {"hits": counts[job].hits, "mass": counts[job].mass, "before": np.array(before)}
        head = {"job": unit.job, "first": 0, "last": 64}
        with pytest.raises(WireError, match="cannot be"):
            counts_of(zlib.compress(packed(head, columns)), unit, job)


def test_processes_count_the_same() -> None:
    one = graph()
    with Processes(2) as pool:
        for model in MODELS:
            shared = assess(one, trials=700, seed=3, model=model, settings=Settings(pool=pool))
            assert figures(shared) == figures(assess(one, trials=700, seed=3, model=model))


def test_sampling_that_stops_early_stops_at_the_same_world() -> None:
    one = graph(weight=0.2)
    for workers in (1, 4):
        report = assess(one, theta=0.05, trials=1 << 14, settings=Settings(threshold=0.1, workers=workers))
        if workers == 1:
            alone = report
    assert figures(report) == figures(alone)
    assert report.trials < 1 << 14


def test_where_theta_leaves_no_doubt_shared_counts_add_up() -> None:
    for theta in (0.0, 1.0):
        report = assess(graph(), theta=theta, trials=1000, settings=Settings(workers=3))
        assert report.probability.tolist() == [1.0 - theta] * 40


def test_load_by_item_takes_workers_too() -> None:
    rng = np.random.default_rng(1)
    load = ItemLoad(
        nodes=tuple(range(12)),
        item_owner=rng.integers(0, 12, 30),
        targets=rng.integers(0, 12, (30, 3)),
        cost=rng.uniform(0, 3, (30, 3)),
        margin=rng.uniform(0, 4, 12),
        sigma=1.0,
    )
    for threshold in (None, 0.3):
        alone, shared = (
            assess_load(load, theta=0.2, settings=Settings(workers=workers, threshold=threshold))
            for workers in (1, 3)
        )
        assert figures(alone) == figures(shared)


def test_units_that_are_lost_are_asked_for_again() -> None:
    network = Network(lose=0.4)
    pool = Queue(network.keep, network.submit, parts=8, attempts=50)
    shared = assess(graph(), trials=1000, settings=Settings(pool=pool))
    assert figures(shared) == figures(assess(graph(), trials=1000))
    assert len(network.sent) > 8


def test_units_that_nobody_counts_are_an_error_in_the_end() -> None:
    network = Network(lose=1.0)
    pool = Queue(network.keep, network.submit, parts=2, attempts=3)
    with pytest.raises(WireError, match="in 3 attempts") as caught:
        assess(graph(), trials=1000, settings=Settings(pool=pool))
    assert caught.value.code == "W1002"


def test_a_job_comes_back_from_its_bytes_and_its_digest_tells_jobs_apart() -> None:
    one = Job(graph(directed=True), 0.3, 7, "load", Settings(tolerance=0.4))
    back = job_of(one.content)
    assert back.content == one.content
    assert (
        back.digest == one.digest == Job(graph(directed=True), 0.3, 7, "load", Settings(tolerance=0.4)).digest
    )
    others = [Job(graph(), 0.3, 7, "load"), Job(graph(), 0.3, 8, "load"), Job(graph(), 0.4, 7, "load")]
    assert len({one.digest, *(other.digest for other in others)}) == 4


@pytest.mark.parametrize("worlds", [(0, 0), (64, 64), (-64, 64), (0, 1 << 32), (3, 64), (0.0, 64), ("a", 64)])
def test_ranges_that_are_none_are_refused(worlds: Range) -> None:
    with pytest.raises(RiskInputError) as caught:
        Job(graph()).count(worlds)
    assert caught.value.code == "C0712"


def test_parts_cover_a_range_once_in_whole_blocks() -> None:
    for last in (1, 64, 65, 1000, 6400):
        for parts in (1, 3, 200):
            found = parts_of((64, 64 + last), parts)
            assert found[0][0] == 64
            assert found[-1][1] == 64 + last
            assert all(a[1] == b[0] and b[0] % 64 == 0 for a, b in pairwise(found))
            assert len(found) <= parts


def test_parts_that_shrink_cover_a_range_once_and_end_with_single_blocks() -> None:
    for last in (1, 64, 65, 1000, 6400):
        for workers in (1, 2, 7):
            found = list(shrinking((64, 64 + last), workers))
            assert (found[0][0], found[-1][1]) == (64, 64 + last)
            assert all(a[1] == b[0] and b[0] % 64 == 0 for a, b in pairwise(found))
            sizes = [b - a for a, b in found]
            assert sizes == sorted(sizes, reverse=True)
            assert sizes[-1] <= 64
            assert sizes[0] <= max(64, (last + 64 * 2 * workers) / (2 * workers))


def test_ranges_that_are_counted_in_any_order_add_up() -> None:
    job = Job(graph(directed=True), 0.3, 7)
    whole = job.count((64, 1000))
    pieces = job.count_all([(512, 1000), (64, 128), (128, 512)])
    assert pieces.worlds == whole.worlds == 936
    assert pieces.hits.tolist() == whole.hits.tolist()


def test_what_fails_in_a_thread_is_raised() -> None:
    class Failing(FlowJob):
        def count_all(self, ranges: Iterable[Range]) -> Counts:
            raise RiskInputError(f"not {next(iter(ranges))}", code="C0712")

    with pytest.raises(RiskInputError, match="not "):
        list(Threads(2).count(Failing(grid()), (0, 64_000)))


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b"{}",
        b'{"job": "a", "first": 3, "last": 64}',
        b'{"job": "a", "first": 0}',
        b"[" * 100_000,
    ],
    ids=["nothing", "half", "a list", "no keys", "no block", "no end", "deep"],
)
def test_what_is_no_unit_is_refused(content: bytes) -> None:
    with pytest.raises(WireError) as caught:
        unit_of(content)
    assert caught.value.code == "W1001"


def test_a_worker_refuses_what_is_no_job_or_another_one() -> None:
    job = Job(graph())
    unit = Unit(job.digest, (0, 64)).to_bytes()
    for kept in (b"", b"PK\x03\x04", job.content[:-30], Job(graph(), seed=9).content):
        with pytest.raises(WireError) as caught:
            Worker(lambda _, kept=kept: kept).answer(unit)  # type: ignore[misc]
        assert caught.value.code == "W1001"
    for cut in (10, 300, len(job.content) - 5):
        with pytest.raises(WireError):
            job_of(job.content[:cut])


def test_answers_that_cannot_be_are_refused() -> None:
    job = Job(graph())
    unit, other = Unit(job.digest, (0, 64)), Unit(job.digest, (64, 128))
    answer = Worker(lambda _: job.content).answer(unit.to_bytes())
    assert counts_of(answer, unit, job).hits.tolist() == job.count((0, 64)).hits.tolist()
    less = Job(graph().without_nodes([3]))
    for content, asked, of in ((answer, other, job), (answer, unit, less), (answer[:50], unit, job)):
        with pytest.raises(WireError) as caught:
            counts_of(content, asked, of)
        assert caught.value.code == "W1001"
    assert json.loads(unit.to_bytes()) == {"job": job.digest, "first": 0, "last": 64}


def test_an_answer_that_would_unpack_to_much_is_refused_before_it_is_unpacked() -> None:
    job = Job(graph())
    unit = Unit(job.digest, (0, 64))
    head = {"job": job.digest, "first": 0, "last": 64}
    much = zlib.compress(packed(head, {"hits": np.zeros(1 << 22, np.int64), "mass": np.zeros(1)}), 9)
    assert len(much) < 1 << 17
    tracemalloc.start()
    with pytest.raises(WireError, match="unpacks to more") as caught:
        counts_of(much, unit, job)
    assert tracemalloc.get_traced_memory()[1] < 1 << 18
    tracemalloc.stop()
    assert caught.value.code == "W1001"


def test_a_job_that_claims_columns_it_has_not_is_refused() -> None:
    content = Job(graph()).content
    head = json.loads(content[4:].split(b"\x00")[0][: int.from_bytes(content[:4], "little")])
    for columns in ([["weight", "<f8", 1 << 60]], [["weight", "O", 1]], [["weight", "<f8", -1]], []):
        text = json.dumps(head | {"columns": columns}).encode()
        with pytest.raises(WireError, match="no job"):
            job_of(len(text).to_bytes(4, "little") + text + b"rest")


@pytest.mark.parametrize("wrong", [{"theta": 2.0}, {"seed": -1}, {"model": "magic"}])
def test_a_job_that_is_none_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(RiskInputError):
        Job(graph(), **wrong)  # type: ignore[arg-type]  # wrong on purpose

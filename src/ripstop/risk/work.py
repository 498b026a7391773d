"""Work that is shared out: one question on a graph, cut into ranges of worlds that anybody may count.

World i of a question depends on the seed and on i alone, and what is counted are whole numbers. So the sum is
the same bytes however the ranges are cut, in whatever order they come back, and whoever counted them: this
thread, others, other processes, or workers at the far end of a queue.

Over a queue two kinds of bytes travel: a job, once, kept under its digest where workers can fetch it; and
units, a few hundred bytes, each answered by counts. A unit may be counted twice or by nobody: the answer is
the same, and what is missing is asked for again.
"""

from __future__ import annotations

import hashlib
import json
import zlib
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import (
    FIRST_COMPLETED,
    Executor,
    Future,
    ProcessPoolExecutor,
    ThreadPoolExecutor,
    wait,
)
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import repeat
from multiprocessing import get_context
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ripstop.core.errors import WireError
from ripstop.risk.errors import RiskInputError
from ripstop.risk.jobs import (
    FlowJob,
    Job,
    Question,
    Range,
    checked_range,
    job_of,
    packed,
    parts_of,
    shrinking,
    unpacked,
)
from ripstop.risk.kinds import FUNCTION
from ripstop.risk.runs import Counts, Run
from ripstop.risk.settings import check_whole

SHARES = 4  # ranges for each process, so that the quicker ones take more
HEAD = 4096  # bytes, at most, around an answer's columns by node
COUNTED = ("hits", "mass", "before")
COLUMNS = 16  # bytes of an answer for each node: two whole numbers


@dataclass(frozen=True, slots=True)
class Unit:
    """A range of one job's worlds, to be counted by somebody."""

    job: str
    worlds: Range

    def to_bytes(self) -> bytes:
        """Give the unit as JSON."""
        return json.dumps({"job": self.job, "first": self.worlds[0], "last": self.worlds[1]}).encode()


def unit_of(content: bytes) -> Unit:
    """Read a unit.

    Raises:
        WireError: W1001, for bytes that are none.
    """
    try:
        document = json.loads(content)
        worlds = checked_range((document["first"], document["last"]))
        return Unit(str(document["job"]), worlds)
    except (KeyError, TypeError, ValueError, RecursionError, RiskInputError) as error:
        raise WireError("the bytes are no unit of cascade worlds", code="W1001") from error


class Worker:
    """Counts units as they come; pure but for `fetch`, so that any queue can be put around it.

    Args:
        fetch: gives the bytes of the job with a digest.
        jobs: that are kept laid out.
    """

    def __init__(self, fetch: Callable[[str], bytes], jobs: int = 4) -> None:
        FUNCTION.check("fetch", fetch)
        self._job = lru_cache(check_whole("jobs", jobs, "C0715", least=1, below=1 << 16))(self._fetched)
        self._fetch = fetch

    def answer(self, unit: bytes) -> bytes:
        """Count what a unit asks for, and give the answer's bytes, compressed.

        Raises:
            WireError: W1001, for a unit or a job that is none, or a job of another digest.
            RiskInputError: for what is in the job.
        """
        asked = unit_of(unit)
        counts = self._job(asked.job).count(asked.worlds)
        head = {"job": asked.job, "first": asked.worlds[0], "last": asked.worlds[1]}
        return zlib.compress(packed(head, {name: getattr(counts, name) for name in COUNTED}), 1)

    def _fetched(self, digest: str) -> Question:
        content = self._fetch(digest)
        if hashlib.sha256(content).hexdigest() != digest:
            raise WireError(f"what is kept for job `{digest}` has another digest", code="W1001")
        return job_of(content)


def counts_of(content: bytes, unit: Unit, job: Question) -> Counts:
    """Read the answer to a unit; it is not unpacked further than the question's answers can be long.

    Raises:
        WireError: W1001, for bytes that are no answer, or one to another unit.
    """
    unpacking, most = zlib.decompressobj(), HEAD + COLUMNS * job.size
    try:
        plain = unpacking.decompress(content, most)
    except zlib.error as error:
        raise WireError("the bytes are no answer of cascade worlds", code="W1001") from error
    if unpacking.unconsumed_tail or not unpacking.eof:
        raise WireError(f"the answer is cut, or unpacks to more than {most} bytes", code="W1001")
    head, columns = unpacked(plain, "answer")
    if head != {"job": unit.job, "first": unit.worlds[0], "last": unit.worlds[1]}:
        raise WireError("the answer is to another unit than was asked", code="W1001")
    counts = Counts(
        unit.worlds[1] - unit.worlds[0], *(columns.get(n, np.zeros(0, np.int64)) for n in COUNTED)
    )
    if not _can_be(counts, job):
        raise WireError("the answer's counts cannot be", code="W1001")
    return counts


def _can_be(counts: Counts, job: Question) -> bool:
    like = job.run
    wanted = (counts.hits, like.hits), (counts.mass, like.mass), (counts.before, like.before)
    sound = all(c.shape == w.shape and c.dtype == w.dtype and (c >= 0).all() for c, w in wanted)
    return sound and all((worlds <= counts.worlds).all() for worlds in (counts.hits, counts.before[:1]))


class Pool(Protocol):
    """Whoever counts ranges of a job; in any order, each once."""

    def count(self, job: Question, worlds: Range) -> Iterator[Counts]:
        """Cut the range as suits, and give the counts of all parts as they come."""
        ...


class Threads:
    """Threads of this process; the kernels run without the interpreter's lock."""

    def __init__(self, workers: int) -> None:
        self._workers = check_whole("workers", workers, "C0715", least=1, below=1 << 16)

    def count(self, job: Question, worlds: Range) -> Iterator[Counts]:
        """Count with all threads."""
        if self._workers == 1:
            yield job.count(worlds)
            return
        _ = job.run  # laid out once, before threads ask for it
        ranges = deque(shrinking(worlds, self._workers))
        with ThreadPoolExecutor(self._workers) as pool:
            try:
                for part in [pool.submit(job.count_all, _taken(ranges)) for _ in range(self._workers)]:
                    yield part.result()
            finally:  # if one fails, the others stop
                ranges.clear()


def _taken(ranges: deque[Range]) -> Iterator[Range]:
    """Take ranges off for as long as there are some; others take them, too."""
    while ranges:
        with suppress(IndexError):  # another thread took the last one
            yield ranges.popleft()


class Processes:
    """Processes of their own, which load the kernels once; for models that hold the interpreter's lock.

    To be closed, or used in a `with`.
    """

    def __init__(self, workers: int) -> None:
        self._workers = check_whole("workers", workers, "C0715", least=1, below=1 << 16)
        self._pool: Executor = ProcessPoolExecutor(self._workers, mp_context=get_context("spawn"))

    def __enter__(self) -> Processes:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let the processes end."""
        self._pool.shutdown(cancel_futures=True)

    def count(self, job: Question, worlds: Range) -> Iterator[Counts]:
        """Count with all processes."""
        parts = parts_of(worlds, SHARES * self._workers)
        yield from self._pool.map(_count_in_process, repeat(job.content), parts)


def _count_in_process(content: bytes, worlds: Range) -> Counts:
    return _job_in_process(content).count(worlds)


@lru_cache(2)
def _job_in_process(content: bytes) -> Question:
    return job_of(content)


class Queue:
    """Workers at the far end of a queue.

    Args:
        keep: puts a job's bytes where workers can fetch them by digest; called once for each job.
        submit: sends a unit, and gives a future of the answer's bytes. A future that fails (no worker, a
            timeout, a worker that died) is asked for again.
        parts: units that a range is cut into.
        attempts: at each unit, before the last error is raised.

    Raises:
        WireError: W1002 while counting, when a unit was not answered in so many attempts.
    """

    def __init__(
        self,
        keep: Callable[[str, bytes], None],
        submit: Callable[[bytes], Future[bytes]],
        *,
        parts: int = 16,
        attempts: int = 3,
    ) -> None:
        for name, function in (("keep", keep), ("submit", submit)):
            FUNCTION.check(name, function)
        self._keep, self._submit = keep, submit
        self._parts = check_whole("parts", parts, "C0715", least=1, below=1 << 20)
        self._attempts = check_whole("attempts", attempts, "C0715", least=1, below=1 << 20)
        self._kept: set[str] = set()

    def count(self, job: Question, worlds: Range) -> Iterator[Counts]:
        """Send all units, and take the answers as they come."""
        if job.digest not in self._kept:
            self._keep(job.digest, job.content)
            self._kept.add(job.digest)
        units = [Unit(job.digest, part) for part in parts_of(worlds, self._parts)]
        waiting = {self._submit(unit.to_bytes()): (unit, 1) for unit in units}
        while waiting:
            done, _ = wait(waiting, return_when=FIRST_COMPLETED)
            for future in done:
                unit, attempt = waiting.pop(future)
                try:
                    answer = counts_of(future.result(), unit, job)
                except Exception as error:  # whatever kept a worker from answering
                    if attempt == self._attempts:
                        first, last = unit.worlds
                        raise WireError(
                            f"worlds {first} to {last - 1} were not counted in {attempt} attempts",
                            code="W1002",
                        ) from error
                    waiting[self._submit(unit.to_bytes())] = (unit, attempt + 1)
                else:
                    yield answer


class SharedRun:
    """A run whose worlds are counted by a pool; `assess` takes it for any other."""

    def __init__(self, job: Question, pool: Pool) -> None:
        self._job, self._pool = job, pool
        self._sum = job.run.fresh()

    @property
    def trials(self) -> int:
        """Worlds counted so far."""
        return self._sum.trials

    @property
    def hits(self) -> NDArray[np.int64]:
        """Worlds in which each node's cascade exceeded theta."""
        return self._sum.hits

    @property
    def before(self) -> NDArray[np.int64]:
        """What happens before anything fails, as `Counts` has it."""
        return self._sum.before

    @property
    def expected_share(self) -> NDArray[np.float64] | None:
        """Each node's mean share failed."""
        return self._sum.expected_share

    def extend(self, trials: int) -> None:
        """Have worlds counted until `trials` are done."""
        if trials > self.trials:
            for counts in self._pool.count(self._job, (self.trials, trials)):
                self._sum.add(counts)

    def fresh(self) -> Run:
        """Give the same with nothing counted, to be counted here."""
        return self._job.run.fresh()


def start(job: Job | FlowJob) -> Run:
    """Begin a run, counted as the settings say: here, by threads, or by their pool."""
    how = job.settings
    if how.pool is None and how.workers == 1:
        return job.run.fresh()
    return SharedRun(replace(job, settings=replace(how, pool=None)), how.pool or Threads(how.workers))

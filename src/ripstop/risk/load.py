"""Load redistribution on a frozen state: what one agent's failure does to those who take its items over.

Percolation asks once per edge; here load accumulates: a node that took three small items fails at the fourth.
Local vetoes are left out unless a mitigation says `checked`.

References:
    Motter, Lai (2002), Cascade-based attacks on complex networks, Phys. Rev. E 66 (capacity overload).
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ripstop.risk.errors import RiskInputError
from ripstop.risk.intervals import clopper_pearson, confidence_sequence, decide, share_confidence, standings
from ripstop.risk.itemload import (
    LOAD,
    MITIGATION,
    Flags,
    Floats,
    ItemLoad,
    LoadMitigation,
    checked_array,
)
from ripstop.risk.kernels.items import ItemOutcome, ItemState, make_play, run_worlds
from ripstop.risk.kinds import takes
from ripstop.risk.layout import whole_masses
from ripstop.risk.percolation import least_mass_above
from ripstop.risk.report import RiskReport
from ripstop.risk.settings import SETTINGS, Settings, check_seed, check_share, check_theta, check_trials

NOTHING = LoadMitigation()
PURPOSE = 0x6C6F6164  # "load": keys the noise apart from other uses of the seed
FIRST_LOOK = 32


@dataclass(frozen=True, eq=False)
class LoadReport:
    """What the failure of some nodes leads to, under one mitigation.

    Attributes:
        failing: the nodes that failed first.
        probability: P(share failed > theta), with its exact interval `low` to `high` at `confidence`.
        expected_share: mean share failed, the first ones included, weighted by consequence.
        shares: share failed in each world, shape (trials,): world i has the same noise under every
            mitigation.
        node_probability: how often each node failed, shape (nodes,).
        moved, dropped: mean number of items handed over, and of items that found no taker.
        paused: items put off by the mitigation.
        cycles: mean number of cycles until nothing moved any more.
    """

    failing: tuple[Hashable, ...]
    theta: float
    trials: int
    seed: int
    mitigation: str
    probability: float
    low: float
    high: float
    confidence: float
    expected_share: float
    shares: Floats
    node_probability: Floats
    moved: float
    dropped: float
    paused: int
    cycles: float

    def quantile(self, q: float) -> float:
        """Give the share failed that a fraction `q` of the worlds does not exceed."""
        return float(np.quantile(self.shares, check_share("q", q, "C0715"), method="inverted_cdf"))

    def to_json(self) -> dict[str, object]:
        """Give the figures as plain JSON values, the shares as quantiles."""
        return {
            "model": "load",
            "failing": [node if isinstance(node, str | int) else str(node) for node in self.failing],
            "mitigation": self.mitigation,
            "theta": self.theta,
            "trials": self.trials,
            "seed": self.seed,
            "probability": self.probability,
            "low": self.low,
            "high": self.high,
            "confidence": self.confidence,
            "expected_share": self.expected_share,
            "share_quantiles": {str(q): self.quantile(q) for q in (0.05, 0.25, 0.5, 0.75, 0.95)},
            "moved": self.moved,
            "dropped": self.dropped,
            "paused": self.paused,
            "cycles": self.cycles,
        }


@takes(load=LOAD, mitigation=MITIGATION)
def simulate_load(
    load: ItemLoad,
    failing: Hashable | Sequence[Hashable],
    *,
    theta: float = 0.5,
    trials: int = 200,
    seed: int = 0,
    mitigation: LoadMitigation = NOTHING,
) -> LoadReport:
    """Play out the failure of one node, or of several at once.

    Args:
        load: the frozen state.
        failing: a node's name, or a list of names.
        theta: a cascade counts when the share failed exceeds it.
        trials: worlds, each with its own noise on the margins.
        seed: 0 to 2**64 - 1. Common random numbers: the noise of world i depends on the seed alone.
        mitigation: measures to try.

    Raises:
        RiskInputError: C0702, C0711 to C0713, C0721.
    """
    theta, trials, seed = check_theta(theta), check_trials(trials), check_seed(seed)
    first = _positions(load, failing)
    state = state_of(load, mitigation)
    outcome = _play(state, first, margin_noise(load, trials, seed))
    total = int(state.mass.sum())
    hits = int((outcome.mass >= least_mass_above(theta, total)).sum())
    low, high = clopper_pearson(hits, trials)
    return LoadReport(
        failing=tuple(load.nodes[i] for i in first),
        theta=theta,
        trials=trials,
        seed=seed,
        mitigation=mitigation.name,
        probability=hits / trials,
        low=float(low),
        high=float(high),
        confidence=0.95,
        expected_share=float(outcome.mass.sum()) / (total * trials),
        shares=outcome.mass / total,
        node_probability=outcome.failures / trials,
        moved=float(outcome.moved.mean()),
        dropped=float(outcome.dropped.mean()),
        paused=0 if mitigation.paused is None else int(np.count_nonzero(mitigation.paused)),
        cycles=float(outcome.cycles.mean()),
    )


@takes(load=LOAD, mitigation=MITIGATION, settings=SETTINGS)
def assess_load(
    load: ItemLoad,
    *,
    theta: float = 0.5,
    trials: int = 200,
    seed: int = 0,
    mitigation: LoadMitigation = NOTHING,
    settings: Settings | None = None,
) -> RiskReport:
    """Estimate, for every node, P(share failed > theta | it fails), each as `simulate_load` would.

    A node whose items overload nobody even under the worst noise of all worlds is settled exactly by that
    one world; only the others are played in full. With `settings.threshold` a node is played until it is
    settled against it.

    Raises:
        RiskInputError: C0711 to C0713, C0715, C0721.
    """
    how = settings or Settings()
    theta, trials, seed = check_theta(theta), check_trials(trials), check_seed(seed)
    n = len(load.nodes)
    if how.fleet_wide:
        how = replace(how, confidence=share_confidence(how.confidence, n))
    state = state_of(load, mitigation)
    noise = margin_noise(load, trials, seed)
    total = int(state.mass.sum())
    need = least_mass_above(theta, total) if n else 1
    hits, mass = np.zeros(n, np.int64), np.zeros(n, np.int64)
    played = np.full(n, trials, np.int64)
    worst = noise.min(axis=0, keepdims=True) if n else noise[:1]

    def settle(v: int) -> None:
        first = np.array([v], np.int32)
        if _play(state, first, worst).failures.sum() == 1:
            mass[v] = state.mass[v] * trials
            hits[v] = trials if state.mass[v] >= need else 0
        else:
            masses = _played_masses(state, first, noise, need, how)
            played[v], mass[v], hits[v] = len(masses), masses.sum(), (masses >= need).sum()

    with ThreadPoolExecutor(how.workers) as pool:  # each node has a place of its own in the arrays
        list(pool.map(settle, range(n)))
    interval = clopper_pearson if how.threshold is None else confidence_sequence
    low, high = interval(hits, played, how.confidence)
    return RiskReport(
        nodes=load.nodes,
        probability=hits / played,
        low=low,
        high=high,
        hits=hits,
        trials=trials,
        theta=theta,
        seed=seed,
        model="load",
        confidence=how.confidence,
        expected_share=mass / (played * max(total, 1)),
        threshold=how.threshold,
        standing=None
        if how.threshold is None
        else standings(decide(hits, played, how.threshold, how.confidence)),
        sampled=played,
    )


def _played_masses(
    state: ItemState, first: NDArray[np.int32], noise: Floats, need: int, how: Settings
) -> NDArray[np.int64]:
    """Play worlds from one failing node: all, or until it is settled against the threshold."""
    if how.threshold is None:
        return _play(state, first, noise).mass
    parts: list[NDArray[np.int64]] = []
    done, hits, look = 0, 0, FIRST_LOOK
    while done < len(noise):
        parts.append(_play(state, first, noise[done:look]).mass)
        hits += int((parts[-1] >= need).sum())
        done = min(look, len(noise))
        if decide(hits, done, how.threshold, how.confidence) != 0:
            break
        look *= 2
    return np.concatenate(parts)


def margin_noise(load: ItemLoad, trials: int, seed: int) -> Floats:
    """Draw what each node's margin is off by in each world, shape (trials, nodes)."""
    rng = np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, PURPOSE])))
    return rng.standard_normal((trials, len(load.nodes))) * load.sigma


def state_of(load: ItemLoad, mitigation: LoadMitigation) -> ItemState:
    """Lay a state out for the kernel, with the mitigation applied.

    Raises:
        RiskInputError: C0721, for a mask of the wrong shape.
    """
    n, m = len(load.nodes), len(load.item_owner)
    paused = _mask("paused", mitigation.paused, m)
    isolated = _mask("isolated", mitigation.isolated, n)
    room = np.array(load.margin)
    np.add.at(room, load.item_owner[paused], np.asarray(load.own_cost)[paused])
    head, tail, following = _linked(load.item_owner, n)
    return ItemState(
        head,
        tail,
        following,
        np.array(load.targets),
        np.array(load.cost),
        room,
        np.array(load.reserve),
        np.array(load.slots),
        np.asarray(load.eligible) & ~isolated,
        _mask("checked", mitigation.checked, n),
        ~(paused | isolated[load.item_owner]),
        whole_masses(np.asarray(load.consequence)),
        np.array([load.per_cycle, load.cycles], np.int64),
    )


def _mask(name: str, values: Flags | bool | None, size: int) -> Flags:
    return checked_array(name, False if values is None else values, np.bool_, (size,)).astype(np.bool_)


def _linked(
    owner: NDArray[np.int32], n: int
) -> tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.int32]]:
    head, tail = np.full(n, -1, np.int32), np.full(n, -1, np.int32)
    following = np.full(len(owner), -1, np.int32)
    order = np.argsort(owner, kind="stable")
    held = owner[order]
    starts = np.flatnonzero(np.diff(held, prepend=-1))
    ends = np.append(starts[1:], len(held))[: len(starts)] - 1
    head[held[starts]], tail[held[starts]] = order[starts], order[ends]
    same = held[1:] == held[:-1]
    following[order[:-1][same]] = order[1:][same]
    return head, tail, following


def _positions(load: ItemLoad, failing: Hashable | Iterable[Hashable]) -> NDArray[np.int32]:
    names = tuple(failing) if isinstance(failing, list | tuple | set | frozenset) else (failing,)
    if isinstance(failing, tuple) and failing in load.nodes:
        names = (failing,)
    places = sorted({load.index(name) for name in names})
    if not places:
        raise RiskInputError("`failing` is empty, expected at least one node", code="C0721")
    return np.array(places, np.int32)


def _play(state: ItemState, failing: NDArray[np.int32], noise: Floats) -> ItemOutcome:
    worlds = len(noise)
    outcome = ItemOutcome(
        np.zeros(worlds, np.int64),
        np.zeros(worlds, np.int64),
        np.zeros(worlds, np.int64),
        np.zeros(worlds, np.int64),
        np.zeros(len(state.room), np.int64),
    )
    run_worlds(state, make_play(state), failing, noise, outcome)
    return outcome

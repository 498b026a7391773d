"""Cascades too rare to be counted: P(share failed > theta) down to 1e-6, by multilevel splitting."""

from __future__ import annotations

import math
from collections.abc import Hashable
from dataclasses import dataclass

import numpy as np
from scipy.special import stdtrit

from ripstop.risk.graph import GRAPH, Graph
from ripstop.risk.intervals import clopper_pearson
from ripstop.risk.kernels import splitting
from ripstop.risk.kernels.shapes import Network, Words
from ripstop.risk.kinds import takes
from ripstop.risk.layout import network_of
from ripstop.risk.percolation import least_mass_above
from ripstop.risk.settings import check_seed, check_theta, check_whole

SURVIVING = 0.25  # share that should reach the next level; Garvels (2000) finds the optimum near e**-2, flat
PILOT = 512
MOST_LEVELS = 200
PURPOSE = 0x72617265  # "rare": keys these draws apart from other uses of the seed


@dataclass(frozen=True, slots=True)
class RareEvent:
    """The probability of a rare cascade, from independent repeats of a splitting run.

    Attributes:
        node: who fails first.
        probability: mean of the repeats, unbiased.
        low, high: Student's interval of that mean at `confidence`: approximate, and 0 at the low end where
            the repeats scatter much; where nothing was found, up to the limit of what was seen on the way.
        relative_deviation: standard error of `probability`, as a share of it; infinite where it is 0.
        levels: failed mass at which cascades were split, as shares of the whole.
        particles: cascades continued, in all.
    """

    node: Hashable
    theta: float
    probability: float
    low: float
    high: float
    confidence: float
    relative_deviation: float
    levels: tuple[float, ...]
    particles: int
    seed: int


@takes(graph=GRAPH)
def rare_probability(
    graph: Graph,
    node: Hashable,
    *,
    theta: float = 0.5,
    particles: int = 500,
    repeats: int = 20,
    seed: int = 0,
) -> RareEvent:
    """Estimate P(share failed > theta | `node` fails) under percolation, however small.

    Args:
        graph: the risk graph.
        node: who fails first.
        theta: a cascade counts when the share failed, weighted by consequence, exceeds it.
        particles: cascades continued from each level in each repeat.
        repeats: independent runs; their scatter gives the interval.
        seed: the same seed gives the same figures.

    Raises:
        RiskInputError: C0702, C0706, C0711 to C0713, C0715.
    """
    theta, seed = check_theta(theta), check_seed(seed)
    particles = check_whole("particles", particles, "C0715", least=10, below=1 << 24)
    repeats = check_whole("repeats", repeats, "C0715", least=2, below=1 << 16)
    network = network_of(graph)
    origin, need = graph.index(node), least_mass_above(theta, network.total)
    start = int(network.mass[origin])
    if start >= need or need > network.total:
        sure = float(start >= need)
        return RareEvent(node, theta, sure, sure, sure, 0.95, 0.0 if sure else math.inf, (), 0, seed)
    keys = np.random.SeedSequence([seed, PURPOSE]).generate_state((repeats + 1) * MOST_LEVELS * 2, np.uint64)
    rows = keys.reshape(repeats + 1, -1)
    levels = _find_levels(network, origin, need, rows[0])
    runs = [_run_once(network, origin, levels, particles, row) for row in rows[1:]]
    found = np.array([chance for chance, _ in runs])
    mean, error = float(found.mean()), float(found.std(ddof=1)) / repeats**0.5
    reach = float(stdtrit(repeats - 1, 0.975)) * error
    high = min(1.0, mean + reach)
    if not mean > 0.0:  # nothing was seen: it is no likelier than to get to the first level
        high = float(clopper_pearson(sum(first for _, first in runs), particles * repeats)[1])
    return RareEvent(
        node,
        theta,
        mean,
        max(0.0, mean - reach),
        high,
        0.95,
        error / mean if mean > 0 else math.inf,
        tuple(level / network.total for level in levels),
        particles * len(levels) * repeats,
        seed,
    )


def _find_levels(network: Network, origin: int, need: int, keys: Words) -> list[int]:
    """Choose levels with a pilot, each reached by about a quarter of those who reached the one before."""
    n = len(network.mass)
    entrance, reached = splitting.make_particles(PILOT, n), splitting.make_particles(PILOT, n)
    splitting.start(network, entrance, origin)
    states, at = PILOT, int(network.mass[origin])
    levels: list[int] = []
    for step in range(MOST_LEVELS - 1):
        splitting.run_out(network, entrance, reached, keys[2 * step], (need, states))
        mass = np.sort(reached.mass)
        beyond = mass[mass > at]
        if len(beyond) == 0:
            break
        level = min(need, max(int(mass[int((1.0 - SURVIVING) * PILOT)]), int(beyond[0])))
        levels.append(level)
        if level == need:
            return levels
        states = splitting.run_stage(network, entrance, reached, keys[2 * step + 1], (level, states))
        if states == 0:
            break
        entrance, reached, at = reached, entrance, level
    return [*levels, need] if not levels or levels[-1] < need else levels


def _run_once(
    network: Network, origin: int, levels: list[int], particles: int, keys: Words
) -> tuple[float, int]:
    """Give the chance found, and how many particles got to the first level."""
    n = len(network.mass)
    entrance, reached = splitting.make_particles(particles, n), splitting.make_particles(particles, n)
    splitting.start(network, entrance, origin)
    states, chance, first = particles, 1.0, 0
    for step, level in enumerate(levels):
        states = splitting.run_stage(network, entrance, reached, keys[step], (level, states))
        chance *= states / particles
        first = first if step else states
        if states == 0:
            return 0.0, first
        entrance, reached = reached, entrance
    return chance, first

"""One node's line of a percolation report, without the others'."""

from __future__ import annotations

import math
from collections.abc import Hashable

import numpy as np

from ripstop.risk.graph import GRAPH, Graph
from ripstop.risk.intervals import clopper_pearson
from ripstop.risk.kernels.origin import run_origin
from ripstop.risk.kernels.shapes import Question, make_room
from ripstop.risk.kernels.words import LANES
from ripstop.risk.kinds import takes
from ripstop.risk.layout import network_of
from ripstop.risk.percolation import least_mass_above
from ripstop.risk.report import NodeRisk
from ripstop.risk.settings import check_seed, check_share, check_theta, check_trials

_NOBODY = np.zeros(0, np.int32)


@takes(graph=GRAPH)
def assess_node(
    graph: Graph,
    node: Hashable,
    *,
    theta: float = 0.5,
    trials: int = 1000,
    seed: int = 0,
    confidence: float = 0.95,
) -> NodeRisk:
    """Estimate P(share failed > theta | `node` fails) by percolation.

    The worlds are those of `assess` with this seed, and so is the answer; it takes a fraction of the time,
    and the expected share comes along.

    Args:
        graph: the risk graph.
        node: who fails first.
        theta: a cascade counts when the share failed, weighted by consequence, exceeds it.
        trials: sampled worlds.
        seed: 0 to 2**64 - 1; the same seed gives the same figures.
        confidence: of the interval.

    Raises:
        RiskInputError: C0702 for an unknown node, C0706, C0711 to C0713, C0715.
    """
    theta, trials, seed = check_theta(theta), check_trials(trials), check_seed(seed)
    confidence = check_share("confidence", confidence, "C0715", ends=False)
    origin, network = graph.index(node), network_of(graph)
    need = least_mass_above(theta, network.total)
    question = Question(need, 0, trials, np.uint64(seed), _NOBODY, flood=False, bound=False, exact=True)
    blocks = np.array([0, math.ceil(trials / LANES)], np.int64)
    hits, mass = run_origin(network, question, blocks, make_room(network), origin)
    low, high = clopper_pearson(hits, trials, confidence)
    return NodeRisk(
        node, int(hits) / trials, float(low), float(high), int(mass) / (trials * network.total), None
    )

"""What an assessment says: for every agent the probability that its failure becomes a collapse."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from ripstop.risk.calibration import Calibration
from ripstop.risk.errors import RiskInputError
from ripstop.risk.inputs import is_name
from ripstop.risk.intervals import Standing, bounded_mean, confidence_sequence
from ripstop.risk.kinds import WHOLE, Kind, takes

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class NodeRisk:
    """One agent's line of a report."""

    node: Hashable
    probability: float
    low: float
    high: float
    expected_share: float | None
    standing: Standing | None
    share_low: float | None = None
    share_high: float | None = None


@dataclass(frozen=True, eq=False)
class RiskReport:
    """P(share failed > theta | the node fails), for every node, from one set of sampled worlds.

    The estimates of different nodes share their worlds: each interval holds by itself, their errors are
    correlated, which makes comparisons between nodes sharper than the intervals suggest.

    Attributes:
        nodes: names, in the graph's order; every array follows it.
        probability: hits / trials.
        low, high: the exact (Clopper-Pearson) interval at `confidence`; where sampling stopped early, the
            anytime-valid confidence sequence.
        hits: worlds in which the node's failure reached more than theta of the fleet.
        trials: sampled worlds.
        expected_share: mean share failed, the node included; None where it was not asked for. Its interval is
            `share_interval`.
        standing: where each probability lies against `threshold`; None without a threshold.
        sampled: worlds by node, where sampling stopped node by node.
        notes: what was left out or adapted in the input, in words.
        calibration: how well such probabilities met recorded incidents, where `calibrated` was asked.
    """

    nodes: tuple[Hashable, ...]
    probability: Floats
    low: Floats
    high: Floats
    hits: NDArray[np.int64]
    trials: int
    theta: float = 0.5
    seed: int = 0
    model: str = "percolation"
    confidence: float = 0.95
    expected_share: Floats | None = None
    threshold: float | None = None
    standing: tuple[Standing, ...] | None = None
    notes: tuple[str, ...] = ()
    sampled: NDArray[np.int64] | None = None
    calibration: Calibration | None = None

    def __len__(self) -> int:
        return len(self.nodes)

    @cached_property
    def share_interval(self) -> tuple[Floats, Floats] | None:
        """The ends of the expected shares' intervals, at `confidence`; None without expected shares.

        They rest on a share's lying in 0..1 alone, and so are wide; where sampling stopped early they are
        anytime-valid.
        """
        if self.expected_share is None:
            return None
        worlds = np.broadcast_to(self.trials if self.sampled is None else self.sampled, len(self.nodes))
        if self.threshold is None:
            return bounded_mean(self.expected_share, worlds, self.confidence)
        return confidence_sequence(self.expected_share * worlds, worlds, self.confidence)

    @cached_property
    def _position(self) -> dict[Hashable, int]:
        return {node: i for i, node in enumerate(self.nodes)}

    def of(self, node: Hashable) -> NodeRisk:
        """Give one node's line.

        Raises:
            RiskInputError: C0702, if the report has no such node.
        """
        return self._line(self.place(node))

    def place(self, node: Hashable) -> int:
        """Give a node's position in every array.

        Raises:
            RiskInputError: C0702, if the report has no such node.
        """
        place = self._position.get(node) if is_name(node) else None
        if place is None:
            raise RiskInputError(f"there is no node `{node}` in the report", code="C0702")
        return place

    def _line(self, i: int) -> NodeRisk:
        return NodeRisk(
            self.nodes[i],
            float(self.probability[i]),
            float(self.low[i]),
            float(self.high[i]),
            None if self.expected_share is None else float(self.expected_share[i]),
            None if self.standing is None else self.standing[i],
            *(() if self.share_interval is None else (float(end[i]) for end in self.share_interval)),
        )

    @takes(top=WHOLE)
    def ranking(self, top: int | None = None) -> tuple[NodeRisk, ...]:
        """Give the lines, the riskiest first; ties by expected share, then in the graph's order."""
        share = np.zeros(len(self.nodes)) if self.expected_share is None else self.expected_share
        order = np.lexsort((-share, -self.probability))
        return tuple(self._line(int(i)) for i in order[:top])

    def to_json(self) -> dict[str, object]:
        """Give the whole report as plain JSON values, the riskiest node first."""
        rows = []
        for line in self.ranking():
            row: dict[str, object] = {
                "node": line.node if isinstance(line.node, str | int) else str(line.node),
                "probability": line.probability,
                "low": line.low,
                "high": line.high,
            }
            if line.expected_share is not None:
                row["expected_share"] = line.expected_share
                row["share_low"], row["share_high"] = line.share_low, line.share_high
            if line.standing is not None:
                row["standing"] = line.standing.value
            rows.append(row)
        return {
            "model": self.model,
            "theta": self.theta,
            "trials": self.trials,
            "seed": self.seed,
            "confidence": self.confidence,
            "threshold": self.threshold,
            "notes": list(self.notes),
            "calibration": None if self.calibration is None else self.calibration.to_json(),
            "nodes": rows,
        }


REPORT = Kind("a risk report", RiskReport)

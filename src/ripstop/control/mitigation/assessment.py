"""The computations of the loop, as jobs that run off the node: assess, survey, plan."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ripstop.core.messages import Workload

from ..telemetry.dependency import FleetLoad, fleet_load
from .forecast import Draw, forecast, no_measures, ranking
from .hub import Risk
from .plan import Plan, Situation, make_plan
from .playbook import Model, Playbook
from .shedding import Area


@dataclass(frozen=True, slots=True)
class Question:
    """The frozen inputs of a computation: nothing in it changes while the job runs elsewhere."""

    workloads: tuple[Workload, ...]
    suspects: Mapping[str, float]
    present: tuple[str, ...]
    registered: int
    playbook: Playbook
    seed: int
    earlier: Area | None = None
    earlier_keep: int | None = None
    tokens: Mapping[str, int] | None = None


@dataclass(frozen=True, slots=True)
class Assessment:
    """Both models' answers with the mitigations taken away; `risk` is the one that the playbook names."""

    risk: Risk
    other: Risk
    suspects: Mapping[str, float]
    airborne: int
    load: FleetLoad | None = None


@dataclass(frozen=True, slots=True)
class Survey:
    """The agent whose failure would be the worst, if it failed."""

    agent: str
    probability: float
    airborne: int


def nothing_suspected(airborne: int, playbook: Playbook) -> Assessment:
    """Give the assessment of a fleet in which nobody is suspected: no fault, no risk, nothing to compute."""
    other = next(m for m in Model if m is not playbook.risk.model)
    return Assessment(
        Risk(playbook.risk.model.value, 0.0, 0.0, 0.0, 0, 0.0), Risk(other.value, 0.0, 0.0, 0.0, 0, 0.0), {},
        airborne,
    )  # fmt: skip


def assess_fleet(question: Question) -> Assessment:
    """Build the dependency graph and ask both models."""
    playbook = question.playbook
    load = fleet_load(question.workloads, playbook.handover)
    none = no_measures(load)
    risks = {
        model: forecast(
            load, question.suspects, none, playbook, Draw(model, playbook.risk.trials, question.seed)
        )
        for model in Model
    }  # fmt: skip
    named = playbook.risk.model
    other = next(risk for model, risk in risks.items() if model is not named)
    return Assessment(risks[named], other, question.suspects, int(load.active.sum()), load)


def survey_fleet(question: Question) -> Survey | None:
    """Rank all agents by what their failure would lead to; None for an empty fleet."""
    load = fleet_load(question.workloads, question.playbook.handover)
    if not load.active.any():
        return None
    agent, probability = ranking(
        load, question.playbook, trials=question.playbook.risk.trials, seed=question.seed
    )
    return Survey(agent, probability, int(load.active.sum()))


def plan_measures(question: Question) -> Plan | None:
    """Make a plan for the suspects."""
    load = fleet_load(question.workloads, question.playbook.handover)
    situation = Situation(
        load, question.suspects, question.present, question.registered, question.earlier,
        question.earlier_keep, question.tokens,
    )  # fmt: skip
    return make_plan(situation, question.playbook, seed=question.seed)

"""What a report says in words: the sentence on top, and the key figures held against their bars."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import Enum
from typing import Final

from ripstop.lab.report import wording
from ripstop.lab.report.schema import ArmName, ArmSummary, CalibrationPair, Dispatch, Live, Outcome, Report

DISPATCH_BAR_MS: Final = 60.0
SPEED_BAR: Final = 100.0
# The dispatch and speed bars are set for a fleet of this size; larger ones are shown without a verdict.
BAR_AGENTS: Final = 150

ARM_TITLES: Final[dict[ArmName, str]] = {
    "no fault": "no fault",
    "ungoverned": "ungoverned",
    "local": "local layer alone",
    "global": "global layer alone",
    "both": "both layers",
}


class State(Enum):
    """How a figure stands against its bar."""

    MET = "met"
    MISSED = "missed"
    UNREACHED = "unreached"  # what the bar is about did not come to pass
    OPEN = "open"  # measured, but not by what the bar is made for; or not measured
    PLAIN = "plain"  # there is no bar


_VERDICTS: Final = {
    State.MET: ("met", "✓"),
    State.MISSED: ("missed", "✕"),
    State.UNREACHED: ("not reached", "–"),
    State.OPEN: ("no verdict", "–"),
    State.PLAIN: ("", " "),
}


@dataclass(frozen=True, slots=True)
class KeyFigure:
    """One figure of the first screen: what it is, its value, its bar and how it stands."""

    label: str
    value: str
    state: State
    bar: str = ""
    note: str = ""

    @property
    def verdict(self) -> str:
        """The state in a word, empty where there is no bar."""
        return _VERDICTS[self.state][0]

    @property
    def mark(self) -> str:
        """The state as a sign, so that it can be told without colour."""
        return _VERDICTS[self.state][1]


def headline(report: Report) -> str:
    """Give in one sentence what happened, from the figures alone."""
    parts = []
    if report.outcome is not None and report.outcome.arms:
        parts.append(_outcome_clause(report.outcome))
    if report.live is not None:
        clause = _live_clause(report.live)
        parts.append(f"live, {clause}" if parts else f"Live, {clause}")
    return "; ".join(parts) + "." if parts else "Nothing was run."


def _outcome_clause(outcome: Outcome) -> str:
    shares = {arm.arm: wording.percent(arm.grounded_share.mean) for arm in outcome.arms}
    seeds = wording.plural(len(outcome.seeds), "seed")
    if "ungoverned" in shares:
        text = (
            f"One faulty drone left {shares.pop('ungoverned')} of the fleet grounded when nobody governed it"
        )
        governed: tuple[ArmName, ...] = ("both", "global", "local")
        name = next((arm for arm in governed if arm in shares), None)
        text += f", {shares[name]} with {_with(name)}" if name else ""
        return f"{text} (mean of {seeds})"
    name, share = next(iter(shares.items()))
    return f"One arm, {ARM_TITLES[name]}: {share} of the fleet grounded (mean of {seeds})"


def _with(name: ArmName) -> str:
    return "both layers" if name == "both" else f"the {ARM_TITLES[name]}"


def _live_clause(live: Live) -> str:
    wanted, reached = len(live.steps), reached_steps(live)
    steps = (
        f"all {wanted} steps were reached"
        if reached == wanted
        else f"{reached} of {wanted} steps were reached"
    )
    if live.fault_to_last_ack_s is None:
        return f"{steps}, and no mitigation was acknowledged by all its targets"
    return f"{steps}, the last acknowledgement {wording.seconds(live.fault_to_last_ack_s)} after the fault"


def reached_steps(live: Live) -> int:
    """Count the steps that were reached."""
    return sum(step.reached for step in live.steps)


def slowest_dispatch(live: Live) -> Dispatch | None:
    """Give the worst p95 among the dispatches that went to the most targets."""
    if not live.dispatches:
        return None
    most = max(dispatch.targets for dispatch in live.dispatches)
    return max((d for d in live.dispatches if d.targets == most), key=lambda d: d.total_p95_ms)


def key_figures(report: Report) -> tuple[KeyFigure, ...]:
    """Give the figures of the first screen, those with a bar first."""
    figures: list[KeyFigure] = []
    if report.live is not None:
        figures += [acknowledged(report.live), _dispatched(report.live), _steps(report.live)]
    if report.outcome is not None:
        figures += _outcome_figures(report, report.outcome)
    if report.live is not None:
        figures.append(_recorded(report.live))
    return tuple(figures)


def _against(value: float, bar: float, *, at_least: bool = False) -> State:
    if not math.isfinite(value):
        return State.OPEN
    return State.MET if (value >= bar if at_least else value <= bar) else State.MISSED


def acknowledged(live: Live) -> KeyFigure:
    """Hold the time from the fault to the last acknowledgement against its bar."""
    label, bar = "Fault to last acknowledgement", f"at most {wording.figure(live.bar_s)} s"
    if live.fault_to_last_ack_s is None:
        return KeyFigure(label, "not reached", State.UNREACHED, bar, "no mitigation was acknowledged by all")
    state = _against(live.fault_to_last_ack_s, live.bar_s)
    return KeyFigure(label, wording.seconds(live.fault_to_last_ack_s), state, bar, "shedding and star")


def _dispatched(live: Live) -> KeyFigure:
    label, bar = "One signed intent to all, p95", f"at most {wording.milliseconds(DISPATCH_BAR_MS)}"
    worst = slowest_dispatch(live)
    if worst is None:
        return KeyFigure(label, "not reached", State.UNREACHED, bar, "no intent was sent")
    note = f"{wording.plural(worst.targets, 'agent')}, verified and answered"
    state = _against(worst.total_p95_ms, DISPATCH_BAR_MS)
    if worst.targets > BAR_AGENTS:
        state, note = State.OPEN, f"{note}; the bar is for {BAR_AGENTS}"
    return KeyFigure(label, wording.milliseconds(worst.total_p95_ms), state, bar, note)


def _steps(live: Live) -> KeyFigure:
    reached, wanted = reached_steps(live), len(live.steps)
    missing = [str(step.number) for step in live.steps if not step.reached]
    note = f"not reached: {', '.join(missing)}" if missing else f"seed {live.seed}"
    state = State.MET if wanted and not missing else State.UNREACHED
    return KeyFigure("Steps of the loop reached", f"{reached} of {wanted}", state, f"all {wanted}", note)


def _outcome_figures(report: Report, outcome: Outcome) -> list[KeyFigure]:
    figures = []
    both, ungoverned, calm = (outcome.arm(name) for name in ("both", "ungoverned", "no fault"))
    if both is not None:
        figures.append(_held(report, both, ungoverned))
        note = f"{wording.count(calm.deliveries.mean)} without the fault" if calm else ""
        if ungoverned:
            note += f"{', ' if note else ''}{wording.count(ungoverned.deliveries.mean)} ungoverned"
        value = wording.count(both.deliveries.mean)
        figures.append(KeyFigure("Deliveries with both layers", value, State.PLAIN, note=note))
    if outcome.arms:
        figures.append(_speed(report, outcome))
    return figures


def _held(report: Report, both: ArmSummary, ungoverned: ArmSummary | None) -> KeyFigure:
    bad = collapses(both)
    note = f"{bad} of {wording.plural(len(both.runs), 'seed')} cascaded"
    if ungoverned is not None:
        note += f"; ungoverned {collapses(ungoverned)} of {len(ungoverned.runs)}"
    state = State.OPEN if not both.runs else State.MISSED if bad else State.MET
    bar = f"no seed over {wording.percent(report.scenario.theta)}"
    return KeyFigure("Grounded with both layers", wording.percent(both.grounded_share.mean), state, bar, note)


def _speed(report: Report, outcome: Outcome) -> KeyFigure:
    slowest = min(outcome.arms, key=lambda arm: arm.speed.mean)
    state = _against(slowest.speed.mean, SPEED_BAR, at_least=True)
    note = f"slowest arm: {ARM_TITLES[slowest.arm]}"
    if report.scenario.agents > BAR_AGENTS:
        state, note = State.OPEN, f"{note}; the bar is for {BAR_AGENTS} agents"
    value = wording.times(slowest.speed.mean)
    return KeyFigure("Virtual time against real time", value, state, f"at least {SPEED_BAR:.0f}×", note)


def _recorded(live: Live) -> KeyFigure:
    record = live.record
    note = f"{record.decisions:,} decisions, {wording.plural(record.segments, 'segment')}"
    if record.findings:
        note += f"; {wording.plural(len(record.findings), 'finding')}"
    state = State.MET if record.verified else State.MISSED
    return KeyFigure(
        "Record of the incident", "verifies" if record.verified else "fails", state, "verifies", note
    )


def collapses(arm: ArmSummary) -> int:
    """Count the seeds in which the fault became a cascade."""
    return sum(run.collapse for run in arm.runs)


def calibration_sentence(pairs: tuple[CalibrationPair, ...], model: str, enter: float) -> str:
    """Say how a model's forecast at the threshold compares with what happened."""
    foretold = [(pair.load if model == "load" else pair.percolation) >= enter for pair in pairs]
    happened = [pair.collapsed for pair in pairs]
    caught = sum(f and h for f, h in zip(foretold, happened, strict=True))
    false = sum(f and not h for f, h in zip(foretold, happened, strict=True))
    quiet = len(happened) - sum(happened)
    told = []
    if any(happened):
        told.append(f"before {caught} of {wording.plural(sum(happened), 'cascade')}")
    if quiet:
        told.append(f"in {false} of {wording.plural(quiet, 'seed')} without one")
    return f"above {wording.figure(enter)} {', and '.join(told)}"


def price(outcome: Outcome) -> tuple[str, ...]:
    """Say what each governed arm refused and held back a shift, in sentences."""
    return tuple(
        f"with {_with(arm.arm)} {wording.count(arm.vetoes.mean)} actions a shift were vetoed, and drones "
        f"flew restricted for {wording.drone_time(arm.restricted_s.mean)} in all"
        for arm in outcome.arms
        if arm.arm in ("local", "global", "both")
    )


def measured_where(report: Report) -> str:
    """Say on which machine, and in which time, the figures of the first screen were measured."""
    machine = report.machine
    told = []
    if report.live is not None:
        told.append(
            f"Live figures are wall time on this one machine ({machine.cpu}, {machine.cores} cores): "
            f"{wording.plural(report.live.agents, 'agent')} in one process, the ground in another, an "
            "embedded message server between them."
        )
    if report.outcome is not None:
        told.append(
            "Grounded drones and deliveries are of a simulated fleet in virtual time, "
            f"{wording.plural(len(report.outcome.seeds), 'seed')} an arm. No aircraft was flown."
        )
    return " ".join(told)

"""The demonstration: the window in real time, the shift in five arms, and the report of both."""

from __future__ import annotations

import multiprocessing
import os
import shutil
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Protocol

import ripstop
from ripstop.control.audit.verify import verify_run
from ripstop.control.store.git import PolicyRepository
from ripstop.control.telemetry.insertion import warmup
from ripstop.core.clock import SystemClock
from ripstop.core.errors import ConfigurationError
from ripstop.core.shipped import shipped
from ripstop.lab import score
from ripstop.lab.arms import Arm
from ripstop.lab.live import LiveFleet, LiveRun, Window
from ripstop.lab.machine import deaf, this_machine
from ripstop.lab.maps import fleet_map
from ripstop.lab.report import page
from ripstop.lab.report.schema import (
    CalibrationPair,
    Happening,
    Hops,
    Live,
    Map,
    Outcome,
    Record,
    Report,
    RiskPoint,
    Scenario,
)
from ripstop.lab.rig import CONTROL
from ripstop.lab.runner import Experiment, ShiftResult, run_arm
from ripstop.lab.scenarios import load_scenario
from ripstop.lab.steps import eight_steps, last_acknowledgement_s
from ripstop.links.loop import run as run_loop

BAR_S: Final = 2.0
_US: Final = 1_000_000
_TOLD: Final = (
    "anomaly.detected", "breaker.", "incident.", "mitigation.planned", "mitigation.complete",
    "mitigation.incomplete", "mitigation.lifting", "intent.issued", "sensor.", "signal.recovered", "release.",
    "peer.refused", "authority.",
)  # fmt: skip


class Progress(Protocol):
    """Somebody who is told how far a named piece of work has come."""

    def __call__(self, stage: str, share: float, text: str = "") -> None:
        """Take the share done, 0..1, of a stage."""
        ...


@dataclass(frozen=True, slots=True)
class Options:
    """What to demonstrate. `seeds` are those of the outcome; without any it is left out."""

    agents: int = 150
    seed: int = 100
    seeds: tuple[int, ...] = (100, 101, 102)
    arms: tuple[Arm, ...] = tuple(Arm)
    live: bool = True
    city: str = "wide"
    window: Window = field(default_factory=Window)


def run_demo(options: Options, folder: Path, progress: Progress, command: str) -> Report:
    """Run the demonstration; the record, the report and the page are left in `folder`.

    Raises:
        ConfigurationError: an unknown city, a fleet of none, a folder that holds another run (C0410).
    """
    if folder.exists() and any(folder.iterdir()):
        raise ConfigurationError(
            f"`{folder}` is not empty", code="C0410", hint="name another folder, or remove the earlier run"
        )
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    experiment = Experiment(load_scenario("drones", options.city), agents=options.agents)
    live = _live(options, experiment, folder, progress) if options.live else None
    outcome = _outcome(options, experiment, progress) if options.seeds else None
    report = Report(
        id=folder.name,
        made_us=SystemClock().now().wall_us,
        version=ripstop.__version__,
        command=command,
        machine=this_machine(),
        scenario=_scenario(options, experiment),
        live=live,
        outcome=outcome,
    )
    (folder / "report.json").write_text(report.write())
    progress("report", 0.3, "drawing the page")
    (folder / "report.html").write_text(page.render(report))
    progress("report", 1.0)
    return report


def _scenario(options: Options, experiment: Experiment) -> Scenario:
    choice = experiment.scenario.fault.choice
    return Scenario("drones", options.agents, options.city, str(choice), experiment.theta, 0.3)


# ---- live ------------------------------------------------------------------------------------------------


def _live(options: Options, experiment: Experiment, folder: Path, progress: Progress) -> Live:
    policies = folder / "policies"
    shutil.copytree(shipped("policies") / "drones", policies / "drones")
    shutil.copytree(shipped("vocabularies"), policies / "vocabularies")
    PolicyRepository.begin(policies).close()  # runs/ may lie in a checkout, whose commits are not the fleet's
    fleet = LiveFleet(experiment, options.seed, folder, policies, options.window)
    for share in fleet.prepare():
        progress("prepare", share, "the shift up to the window, in virtual time")
    run = run_loop(fleet.run(lambda share: progress("live", share, _headline(fleet))))
    progress("verify", 0.0, "verifying the record")
    record = _verified(folder, run)
    run.evidence.record = record
    run.evidence.recorded_us = run.ended_us
    progress("verify", 1.0)
    return _live_report(options, fleet, run, record)


def _headline(fleet: LiveFleet) -> str:
    told = [e for e in fleet.journal.entries[-200:] if e.name.startswith(_TOLD)]
    return f"{told[-1].name} {told[-1].node}" if told else "waiting for the fault"


def _verified(folder: Path, run: LiveRun) -> Record:
    found = verify_run(folder)
    findings = [str(finding) for finding in found.findings]
    if run.unreceipted:
        findings.append(f"{run.unreceipted} ledgers were not receipted to their end")
    return Record(found.counts["decisions.verified"], found.counts["segments"], not findings, tuple(findings))


def _live_report(options: Options, fleet: LiveFleet, run: LiveRun, record: Record) -> Live:
    evidence = run.evidence
    hops = evidence.hops
    return Live(
        seed=options.seed,
        agents=options.agents,
        faulty=evidence.faulty,
        fault_t_s=evidence.fault_us / _US,
        steps=eight_steps(evidence),
        fault_to_last_ack_s=last_acknowledgement_s(evidence),
        bar_s=BAR_S,
        dispatches=tuple(run.dispatches),
        risks=_risks(run),
        timeline=_timeline(run),
        maps=_maps(fleet, run),
        messages=dict(sorted(run.topics.items())),
        hops=Hops(hops.get(1, 0), sum(count for n, count in hops.items() if n > 1)),
        record=record,
    )


def _risks(run: LiveRun) -> tuple[RiskPoint, ...]:
    return tuple(
        RiskPoint(
            t_s=entry.t_us / _US,
            agent=agent,
            model=str(entry.fields["model"]),
            probability=float(entry.fields["probability"] or 0.0),
            low=float(entry.fields["low"] or 0.0),
            high=float(entry.fields["high"] or 0.0),
            without_mitigation=True,
        )
        for entry in run.journal.all("risk.assessed", node=CONTROL)
        for agent in (str(entry.fields["agent"]) or run.evidence.faulty).split(",")
    )


def _timeline(run: LiveRun) -> tuple[Happening, ...]:
    found = []
    for entry in run.journal.entries:
        if entry.name.startswith(_TOLD):
            shown = ", ".join(
                f"{key} {_shown(value)}" for key, value in entry.fields.items() if value not in ("", None)
            )
            found.append(Happening(entry.t_us / _US, entry.name, entry.node, shown))
    return tuple(found)


def _shown(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) and abs(value) < 1e4 else str(value)


def _maps(fleet: LiveFleet, run: LiveRun) -> tuple[Map, ...]:
    names = fleet.shift.rig.names
    maps = []
    for label in ("before", "at the fault", "after"):
        if label in run.snapshots:
            is_fault = label == "at the fault"
            pickups = run.pickups if is_fault else ()
            maps.append(
                fleet_map(label, run.snapshots[label], names, pickups, run.restriction if is_fault else None)
            )
    return tuple(maps)


# ---- outcome -----------------------------------------------------------------------------------------------


def _outcome(options: Options, experiment: Experiment, progress: Progress) -> Outcome:
    jobs = [(seed, arm) for arm in reversed(options.arms) for seed in options.seeds]
    results = _run_all(experiment, jobs, lambda done, text: progress("outcome", done / len(jobs), text))
    arms = []
    for arm in options.arms:
        runs = [results[seed, arm].run for seed in options.seeds]
        arms.append(score.summary(arm, runs))
    pairs = _pairs(options, results)
    return Outcome(options.seeds, tuple(arms), score.calibration(pairs), score.harm(arms))


def _run_all(
    experiment: Experiment, jobs: Sequence[tuple[int, Arm]], progress: Callable[[int, str], None]
) -> dict[tuple[int, Arm], ShiftResult]:
    """Run every job in a process of its own kind, as many at once as there are cores."""
    workers = max(1, min(len(jobs), len(os.sched_getaffinity(0))))
    results: dict[tuple[int, Arm], ShiftResult] = {}
    context = multiprocessing.get_context("spawn")
    # kernels are loaded before the first arm, which would else be timed with it
    with ProcessPoolExecutor(workers, mp_context=context, initializer=warmup) as pool:
        with deaf():
            futures: dict[Future[ShiftResult], tuple[int, Arm]] = {
                pool.submit(run_arm, experiment, seed, arm): (seed, arm) for seed, arm in jobs
            }
        try:
            for future in as_completed(futures):
                seed, arm = futures[future]
                results[seed, arm] = future.result()
                progress(len(results), f"seed {seed}, {arm.value}")
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            for worker in multiprocessing.active_children():
                worker.terminate()  # an arm may go on for half a minute
            raise
    return results


def _pairs(options: Options, results: dict[tuple[int, Arm], ShiftResult]) -> list[CalibrationPair]:
    """Pair what the ground foretold at the fault with what became of the ungoverned fleet of that seed."""
    pairs = []
    for seed in options.seeds:
        ungoverned = results.get((seed, Arm.UNGOVERNED))
        governed = results.get((seed, Arm.GLOBAL)) or results.get((seed, Arm.BOTH))
        if ungoverned and governed and governed.forecast:
            said = governed.forecast
            share = ungoverned.run.grounded_share
            pairs.append(CalibrationPair(seed, said.percolation, said.load, share, ungoverned.run.collapse))
    return pairs

"""The stability model identified from live telemetry: when it speaks, when it does not, and what follows."""

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from prometheus_client import generate_latest

from control.scripted_fleet import COMMAND, FLEET, make_world, playbook
from control.test_playbooks import document
from ripstop.control import ControlNode, ControlSettings, Fleet
from ripstop.control.metrics import Metrics
from ripstop.control.mitigation.playbook import IdentifyRule, StabilityRule, Unknown, read_playbook
from ripstop.core.clock import Instant
from ripstop.core.errors import ConfigurationError
from ripstop.core.node import Compute, Computed, Report, SetTimer, Timer
from ripstop.core.vocabulary import SignalSpec, Vocabulary
from ripstop.core.wire.frame import encode_frame
from ripstop.risk import margin, swing_model
from risk.test_identification import STEP_S, TWO, trace

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

SIGNALS = {name: SignalSpec(name) for name in ("angle_rad", "frequency_hz", "power_mw", "reserve_mw")}
GRID = Vocabulary("grid", signals=SIGNALS)
INDEX = {name: i for i, name in enumerate(sorted(SIGNALS))}
BUSES = ("north", "south")
RULE = IdentifyRule(
    (BUSES,), "power_mw", Unknown.AMPLE, STEP_S, 30.0, frequency="frequency_hz", angle="angle_rad",
    base_power=100.0,
)  # fmt: skip
START_US = 1_700_000_000_000_000


def ground(rule=RULE, **stability):
    book = replace(playbook(), stability=StabilityRule(0.3, identify=rule, **stability))
    keys = {bus: bytes([9]) * 31 + bytes([i]) for i, bus in enumerate(rule.buses)}
    return ControlNode(ControlSettings(FLEET, beat_s=1.0, tick_s=1.0), book, COMMAND, Fleet(GRID, keys))


def at(seconds):
    return Instant(START_US + round(seconds * 1e6), 5_000_000 + round(seconds * 1e6), "boot")


def say(node, bus, rows, seconds):
    node.telemetry.take(bus, encode_frame(bytes.fromhex(GRID.digest), (bus,), rows), at(seconds).wall_us)


def fly(node, swings, *, rng=None, meter=0.0, jitter_s=0.0, lost=(), first_s=0.0):
    """Send what a model shows; `lost` are spans of samples that never arrive."""
    rng = rng or np.random.default_rng(0)
    columns = {"angle_rad": swings.angle_rad, "frequency_hz": swings.frequency_hz}
    columns["power_mw"] = 100.0 * np.asarray(swings.power)
    scale = {"angle_rad": 1.0, "frequency_hz": 1 / (2 * np.pi), "power_mw": 100.0}
    chosen = [k for k in range(len(swings.t_s)) if not any(a <= k < b for a, b in lost)]
    for place, bus in enumerate(BUSES):
        rows = []
        for k in chosen:
            t_us = at(first_s + swings.t_s[k] + rng.uniform(0.0, jitter_s)).wall_us
            for name, values in columns.items():
                value = values[k, place] + meter * scale[name] * rng.normal()
                rows.append((t_us, float(value), 0, INDEX[name], 0))
        for part in range(0, len(rows), 60):
            say(node, bus, rows[part : part + 60], first_s + swings.t_s[-1] + 1.0)


def fit(node, seconds):
    """Let the cadence come round, run the job, and give what the node does of it."""
    out = node.step(Timer("identify"), at(seconds))
    (job,) = (e for e in out if isinstance(e, Compute))
    return node.step(Computed("identify", job.job()), at(seconds + 0.2))


def named(effects, name):
    return [dict(e.fields) for e in effects if isinstance(e, Report) and e.name == name]


def test_the_margin_of_a_swinging_grid_is_found_and_told():
    node = ground()
    fly(node, trace(TWO, 3, noise=0.003))
    out = fit(node, 41.0)
    ((told,), (fitted,)) = named(out, "margin.assessed"), named(out, "margin.identified")
    truth = margin(TWO)
    assert told["damping_low"] < truth.damping < 2 * truth.damping - told["damping_low"]
    assert told["damping"] == pytest.approx(truth.damping, rel=0.1)
    assert fitted["explained"] > 0.8 and fitted["samples"] > 500
    assert node.desk.margin.is_known and not node.desk.margin.is_short


def test_jitter_gaps_nan_and_late_readings_do_not_mislead_it():
    node, rng = ground(replace(RULE, explained=0.3)), np.random.default_rng(1)
    swings = trace(TWO, 4, seconds=60.0, noise=0.003)
    fly(node, swings, rng=rng, jitter_s=0.1 * STEP_S, lost=[(300, 301), (500, 540), (900, 901)])
    late = [(at(20.0).wall_us, 7.0, 0, INDEX["frequency_hz"], 0)]
    wrong = [(at(60.5).wall_us, float("nan"), 0, INDEX["frequency_hz"], 0)]
    for bus in BUSES:
        say(node, bus, late + wrong, 61.0)
    assert node.telemetry.counts["late"] == node.telemetry.counts["invalid"] == 2
    (told,) = named(fit(node, 61.0), "margin.assessed")
    assert told["damping"] == pytest.approx(margin(TWO).damping, rel=0.35)


@pytest.mark.parametrize(
    ("meter", "frozen", "said"),
    [(0.05, False, "explains"), (0.0, True, "C0744"), (None, False, "no `power_mw` of `north`")],
)
def test_a_poor_fit_says_nothing_and_why(meter, frozen, said):
    node = ground(replace(RULE, on_unknown=Unknown.SHORT))
    swings = trace(TWO, 5, noise=0.003)
    if frozen:
        held = {n: np.repeat(np.asarray(getattr(swings, n))[:1], 801, 0) for n in ("power", "frequency_hz")}
        swings = replace(swings, **held, angle_rad=np.zeros((801, 2)))
    if meter is not None:
        fly(node, swings, meter=meter)
    out = fit(node, 41.0)
    (told,) = named(out, "margin.unknown")
    assert said in told["reason"]
    assert named(out, "margin.assessed") == []
    assert node.desk.margin.is_short and not node.desk.margin.is_known


def test_a_model_that_hardly_swings_against_a_loud_disturbance_is_refused():
    node = ground(replace(RULE, window_s=8.0))
    fly(node, trace(TWO, 6, seconds=10.0, noise=0.05))
    assert named(fit(node, 11.0), "margin.unknown")


def test_a_weak_margin_becomes_short_by_telemetry_alone():
    weak = swing_model([[0, 1]], [2.0], [0.1, 0.2], [0.004, 0.008], [1.0, -1.0])
    node = ground()
    fly(node, trace(weak, 7, noise=0.002))
    (told,) = named(fit(node, 41.0), "margin.assessed")
    assert told["short"] and told["damping_low"] < 0.03
    assert node.desk.margin.signals()["margin_is_short"] == 1.0


@pytest.mark.parametrize("settled", Unknown)
def test_what_nobody_measures_any_more_grows_old_and_counts_as_the_playbook_says(settled):
    node = ground(replace(RULE, on_unknown=settled))
    assert node.desk.margin.is_short is (settled is Unknown.SHORT)
    fly(node, trace(TWO, 3, noise=0.003))
    fit(node, 41.0)
    assert not node.desk.margin.is_short
    fit(node, 80.0)  # the same readings again: no younger
    assert node.desk.margin.is_known
    out = node.step(Timer("identify"), at(101.0))
    assert not node.desk.margin.is_known
    assert node.desk.margin.is_short is (settled is Unknown.SHORT)
    assert any(e.name == "assess" for e in out if isinstance(e, SetTimer)) is (settled is Unknown.SHORT)


def test_fits_keep_within_their_share_of_a_core():
    node = ground()

    def is_started(seconds):
        out = node.step(Timer("identify"), at(seconds))
        assert any(e.name == "identify" for e in out if isinstance(e, SetTimer))
        return any(isinstance(e, Compute) for e in out)

    assert is_started(10.0)
    assert not is_started(20.0)  # one at a time
    node.step(Computed("identify", None, "the worker died"), at(25.0))
    assert not is_started(30.0)  # 15 s at a tenth of a core: not before 160 s
    assert not is_started(159.0)
    assert is_started(161.0)


def test_age_and_quality_are_exported():
    node, metrics = ground(), Metrics()
    metrics.refresh(node, at(0.0).mono_us)
    assert "ripstop_margin_known 0.0" in generate_latest(metrics.registry).decode()
    fly(node, trace(TWO, 3, noise=0.003))
    for effect in fit(node, 41.0):
        if isinstance(effect, Report):
            metrics.note(effect)
    metrics.refresh(node, at(51.0).mono_us)
    page = generate_latest(metrics.registry).decode()
    lines = dict(line.rsplit(" ", 1) for line in page.splitlines() if line.startswith("ripstop_margin"))
    assert lines["ripstop_margin_known"] == "1.0"
    assert float(lines["ripstop_margin_age_seconds"]) == pytest.approx(11.0, abs=0.1)
    assert float(lines['ripstop_margin_fit_ratio{figure="explained"}']) > 0.8
    assert float(lines['ripstop_margin{figure="damping"}']) == pytest.approx(margin(TWO).damping, rel=0.1)
    assert lines['ripstop_margin_fits_total{outcome="found"}'] == "1.0"


def test_a_fleet_without_such_a_rule_starts_no_fits():
    world = make_world()
    world.run(30)
    assert world.node.identifier is None
    assert world.node.step(Timer("identify"), at(40.0)) == ()


def test_signals_that_are_no_numbers_of_the_vocabulary_are_refused():
    with pytest.raises(ConfigurationError, match="volt") as caught:
        ground(replace(RULE, angle="volt"))
    assert caught.value.code == "C0204"


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"lines": []}, "at least one line"),
        ({"lines": [["a", "a"]]}, "two buses"),
        ({"lines": [["a", "b", "c"]]}, "two buses"),
        ({"lines": [[f"b{i}", f"b{i + 1}"] for i in range(24)]}, "25 buses"),
        ({"machines": ["elsewhere"]}, "`machines`"),
        ({"frequency": ""}, "`frequency` or `angle`"),
        ({"window_s": 0.1}, "10 to 10000"),
        ({"gap_s": 0.01}, "`gap_s`"),
        ({"share": 0.0}, "`share`"),
        ({"on_unknown": "maybe"}, "short, ample"),
        ({"on_unknown": None}, "short, ample"),
    ],
)
def test_a_rule_that_cannot_work_is_a_finding(changes, said):
    how = {
        "lines": [["a", "b"]], "power": "p", "frequency": "f", "on_unknown": "short", "step_s": 0.1,
        "window_s": 20.0,
    }  # fmt: skip
    with pytest.raises(ConfigurationError) as caught:
        read_playbook(document() | {"stability": {"enter": 0.2, "identify": how | changes}})
    assert said in caught.value.message
    read_playbook(document() | {"stability": {"enter": 0.2, "identify": how}})


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # as in test_stability
def test_damping_that_andes_loses_is_seen_in_what_its_machines_report():
    pytest.importorskip("andes", reason="andes is not installed: `make oracles`")
    from swinging import STEP_S, Grid

    machines = ("north", "south", "east", "west")
    lines = tuple((one, other) for i, one in enumerate(machines) for other in machines[:i])
    # One reading in twenty is lost, so two in a row now and then.
    rule = replace(RULE, lines=lines, step_s=STEP_S, window_s=115.0, gap_s=0.2, base_power=1.0)
    names, found = ("power_mw", "frequency_hz", "angle_rad"), []
    for damping in (0.1, 0.02):
        node = ground(rule, damping_enter=0.02, damping_exit=0.025)
        grid = Grid("kundur/kundur.raw", "classical", damping)
        for name, reported in zip(names, grid.readings(120.0, 1), strict=True):
            for bus, (times, read) in zip(machines, reported, strict=True):
                rows = [
                    (at(t).wall_us, v, 0, INDEX[name], 0)
                    for t, v in zip(times[times > 0].tolist(), read[times > 0].tolist(), strict=True)
                ]
                for part in range(0, len(rows), 60):
                    say(node, bus, rows[part : part + 60], 121.0)
        (told,) = named(fit(node, 121.0), "margin.assessed")
        truth = min(mode.damping for mode in grid.swings())
        assert told["damping"] == pytest.approx(truth, rel=0.6)
        assert told["damping_low"] <= truth
        found.append(told["short"])
    assert found == [False, True]

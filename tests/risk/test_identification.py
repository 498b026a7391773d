from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.linalg import expm

from ripstop.risk import (
    Identified,
    RiskInputError,
    SwingModel,
    Telemetry,
    identify,
    margin,
    read_swing,
    swing_model,
)
from ripstop.risk.swing import assemble

STEP_S = 0.05
TWO = swing_model([[0, 1]], [2.0], [0.1, 0.2], [0.05, 0.1], [1.0, -1.0])
TWO_K = 2.0 * np.cos(np.arcsin(0.5))


def trace(model: SwingModel, seed: int, seconds: float = 40.0, noise: float = 0.01) -> Telemetry:
    """Simulate small swings exactly: injections step each second, and a white disturbance (p.u. √s) acts."""
    rng = np.random.default_rng(seed)
    n, at, sub = len(model.buses), model.operating_point(), 4
    assert at is not None
    heavy, light = np.flatnonzero(model.inertia > 0), np.flatnonzero(model.inertia <= 0)
    system = assemble(model.laplacian(at), model.inertia, model.damping)
    size = len(system)
    block = np.zeros((size + n, size + n))
    block[:size, :size] = system
    block[n + np.arange(len(heavy)), size + heavy] = 1.0 / model.inertia[heavy]
    block[light, size + light] = 1.0 / model.damping[light]
    moved = expm(block * STEP_S / sub)[:size]
    steps = round(seconds / STEP_S)
    change = np.repeat(rng.normal(0.0, 0.05, (steps // 20 + 2, n)), 20, axis=0)[: steps + 1]
    states = [np.zeros(size)]
    for k in range(steps):
        x = states[-1]
        for j in range(sub):
            fed = change[k] + (change[k + 1] - change[k]) * (j + 0.5) / sub
            x = moved @ np.concatenate([x, fed + noise * rng.normal(size=n) / np.sqrt(STEP_S / sub)])
        states.append(x)
    swings = np.array(states)
    speed = np.gradient(swings[:, :n], STEP_S, axis=0)
    speed[:, heavy] = swings[:, n:]
    time = STEP_S * np.arange(steps + 1)
    return Telemetry(time, change + model.power, 50.0 + speed / (2 * np.pi), swings[:, :n] + at)


def test_intervals_hold_the_truth_as_often_as_they_say() -> None:
    repeats, held = 40, np.zeros(5)
    truth = np.array([*TWO.inertia, *TWO.damping, TWO_K])
    for seed in range(repeats):
        found = identify(trace(TWO, seed))
        low, high = (
            np.concatenate([end["inertia"], end["damping"], end["synchronising"]])
            for end in (found.low, found.high)
        )
        held += (low <= truth) & (truth <= high)
    # Each of the five counts is binomial (40, 0.95): it lies below 33 with probability 0.0007.
    assert held.min() >= 33
    assert held.mean() / repeats < 1.0  # nor are they far too wide


def test_a_trace_without_disturbance_gives_the_model_back() -> None:
    found = identify(trace(TWO, 1, noise=0.0))
    assert found.model.inertia == pytest.approx(TWO.inertia, rel=1e-3)
    assert found.model.damping == pytest.approx(TWO.damping, rel=2e-2)
    assert found.synchronising == pytest.approx([TWO_K], rel=1e-3)


def test_loads_that_follow_frequency_are_identified_too() -> None:
    model = swing_model(
        [[0, 1], [1, 2], [0, 2]], [2.0, 1.5, 1.0], [0.1, 0.2, 0], [0.05, 0.1, 0.1], [1.0, 0.5, -1.5]
    )
    found = identify(trace(model, 3, seconds=120.0), machines=[True, True, False])
    assert found.model.inertia == pytest.approx(model.inertia, rel=0.1)
    assert found.low["damping"][2] < 0.1 < found.high["damping"][2]
    at = model.operating_point()
    assert at is not None
    across = at[model.source] - at[model.target]
    ours = {
        tuple(sorted(pair)): k for pair, k in zip([(0, 1), (0, 2), (1, 2)], found.synchronising, strict=True)
    }
    for pair, k in zip([(0, 1), (1, 2), (0, 2)], model.stiffness * np.cos(across), strict=True):
        assert ours[pair] == pytest.approx(k, rel=0.15)


def test_a_margin_of_what_was_identified_has_intervals_and_repeats() -> None:
    found = identify(trace(TWO, 4, seconds=120.0))
    report = margin(found, draws=100, seed=3)
    assert report.damping_low < report.damping < report.damping_high
    assert report.damping_low < margin(TWO).damping < report.damping_high
    assert report.headroom_low < report.headroom < report.headroom_high
    assert (report.confidence, report.draws) == (0.95, 100)
    assert margin(found, draws=100, seed=3) == report


def test_frequencies_alone_do_if_sampled_finely() -> None:
    whole = trace(TWO, 5, seconds=120.0, noise=0.0)
    found = identify(Telemetry(whole.t_s, whole.power, frequency_hz=whole.frequency_hz))
    # Integrated angles drift, and a step of the injection has its kink within a sample: a few per cent.
    assert found.model.inertia == pytest.approx(TWO.inertia, rel=0.1)
    assert found.model.stiffness == pytest.approx([2.0], rel=0.1)


def test_noise_of_the_meters_is_noticed() -> None:
    whole = trace(TWO, 6)
    rng = np.random.default_rng(0)
    frequency = np.asarray(whole.frequency_hz)
    noisy = frequency + rng.normal(0.0, 0.02, frequency.shape)
    found = identify(Telemetry(whole.t_s, whole.power, noisy, whole.angle_rad))
    assert found.correlation < -0.2
    assert "meters are noisy" in found.notes[0]


def changed(**columns: object) -> Telemetry:
    whole = trace(TWO, 7)
    given = {"t_s": whole.t_s, "power": whole.power, "frequency_hz": whole.frequency_hz}
    return Telemetry(**(given | {"angle_rad": whole.angle_rad} | columns))  # type: ignore[arg-type]


def with_hole(values: object) -> NDArray[np.float64]:
    array = np.array(values, np.float64)
    array[20, 0] = np.nan
    return array


def test_telemetry_with_holes_is_refused() -> None:
    whole = trace(TWO, 7)
    gap = np.array(whole.t_s)
    gap[100:] += 3.0
    for telemetry, said in [
        (changed(power=with_hole(whole.power)), "`power` are not all finite"),
        (changed(frequency_hz=with_hole(whole.frequency_hz)), "`frequency_hz` are not all finite"),
        (changed(t_s=gap), "after 4.95 s comes a step of 3.05 s"),
        (changed(t_s=np.asarray(whole.t_s)[::-1]), "times that rise"),
        (changed(t_s=np.asarray(whole.t_s)[:-1]), "expected 800 samples"),
        (changed(power=np.asarray(whole.power)[:, :1]), "`frequency_hz` has shape"),
        (changed(frequency_hz=None, angle_rad=None), "got neither"),
    ]:
        with pytest.raises(RiskInputError, match=said) as caught:
            identify(telemetry)
        assert caught.value.code == "C0743"


def test_data_that_cannot_identify_is_refused() -> None:
    whole = trace(TWO, 8)
    flat = np.ones_like(np.asarray(whole.power))
    short = Telemetry(*(np.asarray(part)[:6] for part in (whole.t_s, whole.power, whole.frequency_hz)))
    for telemetry, said in [
        (short, "too few for 7 unknowns"),
        (Telemetry(whole.t_s, flat, 50.0 * flat), "constant"),
        # All could be scaled together: nothing says how much power a swing is.
        (changed(power=flat * np.array([1.0, -1.0])), "the data cannot identify"),
    ]:
        with pytest.raises(RiskInputError, match=said) as caught:
            identify(telemetry)
        assert caught.value.code == "C0744"


def test_what_is_said_of_a_bus_or_line_goes_by_its_name() -> None:
    whole = trace(TWO, 8)
    named = replace(whole, buses=["north", "south"])
    assert identify(named).model.buses == ("north", "south")
    flat = np.ones_like(np.asarray(whole.power)) * np.array([1.0, -1.0])
    with pytest.raises(RiskInputError, match=r"of (bus north|bus south|line north-south)"):
        identify(replace(named, power=flat))
    for wrong in (["north"], ["north", "north"]):
        with pytest.raises(RiskInputError):
            identify(replace(whole, buses=wrong))


def test_a_wrong_question_is_refused() -> None:
    whole = trace(TWO, 9)
    for keywords, code in [
        ({"confidence": 1.0}, "C0715"),
        ({"machines": [1, 0]}, "C0742"),
        ({"ends": [[0, 5]]}, "C0742"),
        ({"reserve": [1.0, -1.0]}, "C0742"),
    ]:
        with pytest.raises(RiskInputError) as caught:
            identify(whole, **keywords)  # type: ignore[arg-type]  # wrong on purpose
        assert caught.value.code == code


def test_islands_are_identified_apart() -> None:
    model = swing_model([], [], [0.1, 0.2], [0.05, 0.1], [0.0, 0.0])
    found = identify(trace(model, 10), ends=[])
    assert found.model.inertia == pytest.approx(model.inertia, rel=0.1)
    report = margin(found, [1, 0], draws=20)
    assert report.islands == 2


def test_telemetry_in_a_file_is_identified(tmp_path: Path) -> None:
    whole = trace(TWO, 11)
    columns = {
        name: dict(zip(("north", "south"), np.asarray(getattr(whole, name)).T.tolist(), strict=True))
        for name in ("power", "frequency_hz", "angle_rad")
    }
    document = {
        "buses": [{"id": "north", "reserve": 0.5}, {"id": "south"}],
        "lines": [["north", "south"]],
        "telemetry": {"t_s": np.asarray(whole.t_s).tolist()} | columns,
    }
    file = tmp_path / "telemetry.json"
    file.write_text(json.dumps(document))
    found = read_swing(file)
    assert isinstance(found, Identified)
    assert found.model.buses == ("north", "south")
    assert found.model.reserve.tolist() == [0.5, np.inf]
    assert found.synchronising == pytest.approx(identify(whole).synchronising)

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from ripstop.risk import MarginTrigger, RiskInputError, SwingModel, margin, read_swing, swing_model

TWO_K = 2.0 * np.cos(np.arcsin(0.5))  # b cos δ of `two_machines`, which sends half of what its line can


def two_machines(power: float = 1.0, drag: float = 0.5, reserve: object = None) -> SwingModel:
    """Damping in proportion to inertia, so that the eigenvalues have a closed form."""
    inertia = np.array([0.1, 0.2])
    return swing_model([[0, 1]], [2.0], inertia, drag * inertia, [power, -power], reserve)


def line_of_load(power: float, stiffness: float = 2.0) -> SwingModel:
    """A machine that feeds a load without dynamics over one line."""
    return swing_model([[0, 1]], [stiffness], [0.1, 0.0], [0.05, 0.0], [power, -power])


def test_two_machines_have_the_eigenvalues_of_the_closed_form() -> None:
    # With D = d M: λ² + d λ + K (1/M1 + 1/M2) = 0 between them, and -d for both together.
    expected = [*np.roots([1.0, 0.5, TWO_K * (1 / 0.1 + 1 / 0.2)]), -0.5]
    report = margin(two_machines())
    assert np.allclose(np.sort_complex(report.eigenvalues), np.sort_complex(expected), atol=1e-12)
    natural = np.sqrt(TWO_K * 15.0)
    assert report.damping == pytest.approx(0.25 / natural)
    assert report.modes()[0].frequency_hz == pytest.approx(np.sqrt(natural**2 - 0.25**2) / (2 * np.pi))
    assert report.is_stable


def test_a_lossless_ring_swings_with_the_laplacians_frequencies_and_is_not_damped() -> None:
    n = 6
    ends = [[i, (i + 1) % n] for i in range(n)]
    ring = swing_model(ends, [3.0] * n, [0.2] * n, [0.0] * n, [0.0] * n)
    report = margin(ring, [1, 0, 0, 0, 0, 0], share=[0, 0, 0, 1, 0, 0])
    laplacian = 2.0 - 2.0 * np.cos(2.0 * np.pi * np.arange(1, n) / n)
    assert sorted(m.frequency_hz for m in report.modes()) == pytest.approx(
        sorted(np.sqrt(15.0 * laplacian) / (2 * np.pi))
    )
    assert report.damping == 0.0
    assert report.is_stable  # nothing grows
    # Two ways of three lines each; each line carries 3 at a quarter turn.
    assert dict(report.limits)["angle"] == pytest.approx(6.0, rel=1e-6)


def test_one_line_bears_what_it_can_carry() -> None:
    report = margin(line_of_load(0.5))
    assert report.limit == "angle"
    assert report.headroom == pytest.approx(1.5, rel=1e-6)


def test_the_headroom_of_a_tree_is_that_of_its_weakest_line() -> None:
    model = swing_model(
        [[0, 1], [1, 2], [1, 3]], [5.0, 2.0, 1.0], [1, 0, 0, 0], [1, 0, 0, 0], [1, 0, -0.5, -0.5]
    )
    assert margin(model).headroom == pytest.approx(1.0, rel=1e-6)  # half of the growth, 0.5 to spare
    assert margin(model, [0, 0, 1, 0]).headroom == pytest.approx(1.5, rel=1e-6)


def test_a_reserve_that_is_used_up_first_is_the_limit() -> None:
    model = two_machines(reserve=[0.2, 0.1])
    report = margin(model)
    assert (report.limit, report.headroom) == ("reserve", pytest.approx(0.3))
    uneven = margin(model, share=[1, 3])
    assert uneven.headroom == pytest.approx(0.1 / 0.75)


def test_load_that_nobody_can_take_over_has_no_headroom() -> None:
    model = swing_model([[0, 1]], [2.0], [0.1, 0, 0], [0.1, 0, 0.1], [0.5, -0.5, 0.0])
    report = margin(model, [0, 0, 1])
    assert (report.limit, report.headroom, report.islands) == ("reserve", 0.0, 2)
    assert "2 islands" in report.notes[0]


def test_an_unstable_operating_point_is_told() -> None:
    # Beyond a quarter turn the line pulls the wrong way: λ² + d λ + K 15 = 0 with K < 0 has a positive root.
    tipped = two_machines().at([2.5, 0.0])
    report = margin(tipped, [0, 1])
    k = 2.0 * np.cos(2.5)
    assert report.eigenvalues[0].real == pytest.approx(max(np.roots([1.0, 0.5, k * 15.0]).real))
    assert not report.is_stable
    assert (report.damping, report.headroom) == (-1.0, 0.0)


def test_a_machine_that_feeds_oscillations_is_told() -> None:
    # Below the least stiffness of the next test the swing grows, though the two together are damped.
    growing = margin(swing_model([[0, 1]], [0.9], [0.1, 0.1], [-0.2, 0.5], [0.0, 0.0]), [0, 1])
    assert not growing.is_stable
    assert -1.0 < growing.damping < 0.0
    assert (growing.limit, growing.headroom) == ("damping", 0.0)
    assert margin(two_machines(drag=-0.5)).damping == -1.0  # their common speed runs away without a swing


def test_damping_can_be_lost_before_the_power_flow_is() -> None:
    # Two machines of one mass, one of which drives: with D = (-d1, d2) Routh's conditions give a limit in K:
    # M² s³ + M (d2 - d1) s² + (2 K M - d1 d2) s + K (d2 - d1) = 0 is stable while K M > d1 d2.
    mass, d1, d2 = 0.1, 0.2, 0.5
    model = swing_model([[0, 1]], [2.0], [mass, mass], [-d1, d2], [0.5, -0.5])
    least = d1 * d2 / mass
    assert least < 2.0 * np.cos(np.arcsin(0.25))
    report = margin(model, [0, 1], share=[1, 0])
    assert report.is_stable
    assert report.limit == "damping"
    assert report.headroom == pytest.approx(2.0 * np.sin(np.arccos(least / 2.0)) - 0.5, rel=1e-4)


def test_without_an_operating_point_the_report_says_so() -> None:
    report = margin(line_of_load(2.5))
    assert (report.is_stable, report.eigenvalues, report.damping) == (False, (), -1.0)
    assert (report.limit, report.headroom) == ("angle", 0.0)
    assert "no operating point" in report.notes[0]


def test_an_eliminated_bus_leaves_lines_in_series() -> None:
    direct = swing_model([[0, 1]], [1.0], [0.1, 0.2], [0.1, 0.1], [0, 0])
    through = swing_model([[0, 2], [2, 1]], [2.0, 2.0], [0.1, 0.2, 0], [0.1, 0.1, 0], [0, 0, 0])
    one, two = (margin(model, [1] + [0] * (len(model.buses) - 1)) for model in (direct, through))
    assert np.allclose(one.eigenvalues, two.eigenvalues)


def test_a_bus_alone_and_buses_without_dynamics_have_defined_answers() -> None:
    alone = margin(swing_model([], [], [0.2], [0.1], [0.0]), [1])
    assert alone.eigenvalues == (pytest.approx(-0.5),)
    assert (alone.damping, alone.limit) == (1.0, "none")
    still = margin(swing_model([[0, 1]], [1.0], [0, 0], [0, 0], [0, 0]), [1, 0], share=[0, 1])
    assert (still.eigenvalues, still.damping, still.is_stable) == ((), 1.0, True)


def test_excess_power_goes_to_what_follows_frequency() -> None:
    model = swing_model([[0, 1]], [2.0], [0.1, 0.0], [0.3, 0.1], [0.8, -0.4])
    assert model.balanced_power() == pytest.approx([0.5, -0.5])


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (([], [], [], [], []), "no buses"),
        (([[0, 2]], [1], [1, 1], [0, 0], [0, 0]), "does not join"),
        (([[0, 0]], [1], [1, 1], [0, 0], [0, 0]), "does not join"),
        (([[0, 1, 1]], [1], [1, 1], [0, 0], [0, 0]), "two buses a line"),
        (([[0, 1]], [float("nan")], [1, 1], [0, 0], [0, 0]), "finite"),
        (([[0, 1]], [-1], [1, 1], [0, 0], [0, 0]), "0 or more"),
        (([[0, 1]], [1, 2], [1, 1], [0, 0], [0, 0]), "expected 1 numbers"),
        (([[0, 1]], [1], [1, 0], [0, -1], [0, 0]), "without inertia"),
        (([[0, 1]], [1], [1, 1], [0, 0], [0, 0], [-1, 0]), "0 or more"),
        (([[0, 1]], [1], [1, "x"], [0, 0], [0, 0]), "finite"),
    ],
)
def test_a_wrong_model_is_refused(arguments: tuple[object, ...], said: str) -> None:
    with pytest.raises(RiskInputError, match=said) as caught:
        swing_model(*arguments)  # type: ignore[arg-type]  # wrong on purpose
    assert caught.value.code == "C0742"


def test_a_wrong_question_is_refused() -> None:
    lossless = swing_model([[0, 1]], [2.0], [0.1, 0.2], [0, 0], [1.0, -0.5])
    with pytest.raises(RiskInputError, match="off balance by 0"):
        margin(lossless)
    model = two_machines()
    for direction in ([0, 0], [1], [-1, 1], [float("nan"), 1]):
        with pytest.raises(RiskInputError, match="direction") as caught:
            margin(model, direction)
        assert caught.value.code == "C0742"
    with pytest.raises(RiskInputError, match="give a `direction`"):
        margin(two_machines(power=0.0))
    with pytest.raises(RiskInputError, match="draws"):
        margin(model, draws=3)
    with pytest.raises(RiskInputError, match="stands twice"):
        model.named("aa")


def test_a_trigger_holds_until_the_exit_is_passed() -> None:
    trigger = MarginTrigger(damping_enter=0.03, damping_exit=0.05, headroom_enter=0.1, headroom_exit=0.2)
    fine = margin(two_machines())
    states, active = [], False
    for damping, headroom in [
        (0.06, 1),
        (0.04, 1),
        (0.02, 1),
        (0.04, 1),
        (0.06, 1),
        (0.06, 0.05),
        (0.06, 0.15),
    ]:
        report = dataclasses.replace(fine, damping_low=damping, headroom_low=headroom)
        active = trigger.is_active(report, was_active=active)
        states.append(active)
    assert states == [False, False, True, True, False, True, True]
    assert trigger.is_active(margin(line_of_load(2.5)), was_active=False)
    with pytest.raises(RiskInputError, match="C0715"):
        MarginTrigger(damping_enter=0.05, damping_exit=0.03)


def test_a_report_is_plain_json() -> None:
    report = json.loads(json.dumps(margin(two_machines()).to_json(), allow_nan=False))
    assert report["limits"]["reserve"] is None
    assert report["damping"] == report["damping_low"]
    assert set(margin(two_machines()).signals()) >= {"damping_low", "headroom_low"}


@pytest.mark.parametrize(
    ("document", "code"),
    [
        ("{", "C0701"),
        ("[]", "C0701"),
        ('{"buses": []}', "C0701"),
        ('{"buses": [{"id": "a", "mass": 1}]}', "C0701"),
        ('{"buses": [{}]}', "C0702"),
        ('{"buses": [{"id": "a"}, {"id": "a"}]}', "C0702"),
        ('{"buses": [{"id": "a"}], "lines": [["a", "b", 1]]}', "C0702"),
        ('{"buses": [{"id": "a"}], "lines": [["a"]]}', "C0701"),
        ('{"buses": [{"id": "a", "power": null}]}', "C0742"),
        ('{"buses": [{"id": "a"}], "telemetry": {"t_s": [0, 1], "power": {"a": [0]}}}', "C0743"),
        ('{"buses": [{"id": "a"}], "telemetry": {"t_s": [0, 1, 2]}}', "C0701"),
        ('{"buses": [{"id": "a", "machine": 1}], "telemetry": {}}', "C0701"),
    ],
)
def test_a_wrong_file_is_refused(tmp_path: Path, document: str, code: str) -> None:
    file = tmp_path / "grid.json"
    file.write_text(document)
    with pytest.raises(RiskInputError) as caught:
        read_swing(file)
    assert caught.value.code == code
    with pytest.raises(RiskInputError, match="C0701"):
        read_swing(tmp_path / "missing.json")


def classical_kundur() -> tuple[SwingModel, SwingModel, NDArray[np.float64]]:
    """Give ours with all buses, ours of machines alone, and ANDES's swings in Hz: Kundur's two areas."""
    andes = pytest.importorskip("andes", reason="andes is not installed: `make oracles`")
    andes.config_logger(stream_level=50)
    system = andes.load(
        andes.get_case("kundur/kundur.raw"),
        addfile=andes.get_case("kundur/kundur_gencls.dyr"),
        setup=True,
        no_output=True,
        default_config=True,
    )
    system.PFlow.run()
    system.EIG.run()  # loads become impedances, ANDES's default
    theirs = np.sort(system.EIG.mu.imag[system.EIG.mu.imag > 0.1]) / (2 * np.pi)
    gens, lines, n = system.GENCLS, system.Line, system.Bus.n
    place = {bus: i for i, bus in enumerate(system.Bus.idx.v)}
    machine = np.arange(gens.n) + n
    ends = [[place[a], place[b]] for a, b in zip(lines.bus1.v, lines.bus2.v, strict=True)]
    ends += [[int(i), place[bus]] for i, bus in zip(machine, gens.bus.v, strict=True)]
    impedance = np.concatenate([lines.r.v + 1j * np.array(lines.x.v), 1j * np.array(gens.xd1.v)])
    voltage = np.concatenate([system.Bus.v.v, gens.vf.v])
    angle = np.concatenate([system.Bus.a.v, gens.delta.v])
    inertia = np.concatenate([np.zeros(n), np.array(gens.M.v) / (2 * np.pi * 60.0)])
    pairs = np.array(ends)
    stiffness = voltage[pairs[:, 0]] * voltage[pairs[:, 1]] / impedance.imag
    nothing = np.zeros(len(angle))
    whole = swing_model(pairs, stiffness, inertia, nothing, nothing).at(angle)
    # The classical model of textbooks: loads as admittances, everything reduced to the machines' inner nodes.
    admittance = np.zeros((len(angle), len(angle)), complex)
    for (i, j), z in zip(pairs, impedance, strict=True):
        admittance[[i, j], [i, j]] += 1 / z
        admittance[[i, j], [j, i]] -= 1 / z
    for (i, j), charging in zip(pairs, lines.b.v, strict=False):
        admittance[[i, j], [i, j]] += 0.5j * charging
    for bus, p, q in zip(system.PQ.bus.v, system.PQ.p0.v, system.PQ.q0.v, strict=True):
        admittance[place[bus], place[bus]] += (p - 1j * q) / voltage[place[bus]] ** 2
    a, b = slice(n, None), slice(0, n)
    reduced = admittance[a, a] - admittance[a, b] @ np.linalg.solve(admittance[b, b], admittance[b, a])
    inner = np.array([[i, j] for i in range(gens.n) for j in range(i)])
    force = voltage[machine]
    links = reduced.imag[inner[:, 0], inner[:, 1]] * force[inner[:, 0]] * force[inner[:, 1]]
    none = np.zeros(gens.n)
    alone = swing_model(inner, links, inertia[machine], none, none).at(angle[machine])
    return whole, alone, theirs


# ANDES leaves the processes open that write its code where it first runs.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_kundurs_two_areas_swing_as_in_andes() -> None:
    whole, alone, theirs = classical_kundur()
    direction = np.zeros(len(whole.buses))
    direction[7] = 1.0
    swings = np.sort([mode.frequency_hz for mode in margin(whole, direction).modes()])
    # What ours leaves out sets the tolerance: line resistance, loads that follow voltage, voltages that move.
    assert np.abs(swings / theirs - 1.0).max() < 0.13
    assert np.abs(swings / theirs - 1.0)[1:].max() < 0.02
    reduced = np.sort([mode.frequency_hz for mode in margin(alone, [1, 0, 0, 0], share=[0, 1, 0, 0]).modes()])
    assert np.abs(reduced / theirs - 1.0).max() < 0.02


def test_an_imbalance_is_told_with_the_frequency_that_it_leads_to() -> None:
    given = swing_model([[0, 1]], [2.0], [0.1, 0.2], [0.3, 0.2], [1.0, -0.9]).named(["north", "south"])
    (note,) = margin(given).notes
    settles = 0.1 / 0.5 / (2 * np.pi)
    assert note.startswith("the island of bus `north` is fed 0.1 p.u. more than it draws")
    assert note.endswith(f"settles {settles:.3g} Hz above nominal")
    less = swing_model([[0, 1]], [2.0], [0.1, 0.2], [0.3, 0.2], [1.0, -1.1])
    assert "0.1 p.u. less than it draws" in margin(less).notes[0]
    assert margin(two_machines()).notes == ()


def test_what_grows_without_swinging_is_told() -> None:
    creeping = swing_model([[0, 1]], [2.0], [0.1, 0.2], [-0.5, 0.04], [1.0, -1.0])
    report = margin(creeping)
    assert report.damping == -1.0
    assert "a deviation grows without swinging" in report.notes

"""Sensor faults alone and in a chain."""

import math

import numpy as np
import pytest

from ripstop.core.errors import ConfigurationError
from ripstop.worlds.faults import Drift, Dropout, Fault, FaultySensor, Noise, Scale, Stuck, make_fault
from ripstop.worlds.streams import stream


def read(faults: tuple[Fault, ...], values: list[float], seed: int = 1) -> list[float]:
    sensor, rng = FaultySensor(faults), stream(seed, "test")
    return [sensor.read(value, float(t), rng=rng) for t, value in enumerate(values)]


def test_a_scaled_reading_is_true_before_its_start_and_a_share_from_it_on() -> None:
    assert read((Scale(2.0, 0.15),), [80.0, 80.0, 80.0, 60.0]) == [80.0, 80.0, 12.0, 9.0]


def test_a_stuck_sensor_holds_the_first_value_from_its_start() -> None:
    assert read((Stuck(1.0),), [5.0, 4.0, 3.0, 2.0]) == [5.0, 4.0, 4.0, 4.0]


def test_a_drift_grows_with_time_from_its_start() -> None:
    assert read((Drift(1.0, -0.5),), [5.0, 5.0, 5.0, 5.0]) == [5.0, 5.0, 4.5, 4.0]


def test_a_sure_dropout_says_nothing() -> None:
    first, *rest = read((Dropout(1.0),), [1.0, 1.0, 1.0])
    assert first == 1.0
    assert all(map(math.isnan, rest))


def test_a_half_dropout_loses_about_half() -> None:
    lost = sum(map(math.isnan, read((Dropout(0.0, 0.5),), [1.0] * 2000)))
    assert 880 < lost < 1120  # 1000 +- 5.4 standard deviations of 22.4


def test_noise_has_its_standard_deviation_and_comes_from_the_seed() -> None:
    noisy = read((Noise(0.0, 2.0),), [10.0] * 4000)
    # The deviation's own standard error is 2 / sqrt(8000) = 0.022.
    assert abs(np.std(noisy) - 2.0) < 0.12
    assert noisy == read((Noise(0.0, 2.0),), [10.0] * 4000)
    assert noisy != read((Noise(0.0, 2.0),), [10.0] * 4000, seed=2)


def test_faults_act_in_the_order_of_the_chain() -> None:
    assert read((Scale(0.0, 0.5), Drift(0.0, 1.0)), [10.0, 10.0]) == [5.0, 6.0]
    assert read((Drift(0.0, 1.0), Scale(0.0, 0.5)), [10.0, 10.0]) == [5.0, 5.5]


def test_a_fault_is_made_from_its_name() -> None:
    assert make_fault("scale", 9.0, factor=0.15) == Scale(9.0, 0.15)
    assert make_fault("stuck", 9.0) == Stuck(9.0)


@pytest.mark.parametrize(
    ("kind", "settings", "code"),
    [
        ("melt", {}, "C0301"),
        ("scale", {}, "C0302"),
        ("stuck", {"factor": 1.0}, "C0302"),
        ("dropout", {"probability": 1.5}, "C0303"),
        ("scale", {"factor": math.nan}, "C0303"),
    ],
)
def test_a_fault_that_makes_no_sense_is_refused(kind: str, settings: dict[str, float], code: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        make_fault(kind, 0.0, **settings)
    assert caught.value.code == code


def test_streams_of_different_purposes_differ_and_repeat() -> None:
    assert stream(1, "wind").random() == stream(1, "wind").random()
    assert stream(1, "wind").random() != stream(1, "orders").random()
    assert stream(1, "wind").random() != stream(2, "wind").random()

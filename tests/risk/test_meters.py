from __future__ import annotations

import numpy as np

from ripstop.risk.meters import expected, fused, thinned, thinning


def test_a_regression_on_what_is_expected_of_noisy_inputs_is_not_biased() -> None:
    rng = np.random.default_rng(1)
    truth = np.repeat(rng.normal(size=400), 30)[:, None]  # a dispatch, held for thirty samples
    effect = 2.0 * truth
    read = truth + rng.normal(0.0, 1.0, truth.shape)
    plain, kept = (float((x * effect).sum() / (x * x).sum()) for x in (read, expected(read)[0]))
    assert plain < 1.1  # half of it is noise
    assert abs(kept - 2.0) < 0.1  # 400 steps: 5 %


def test_the_noise_of_meters_is_told() -> None:
    rng = np.random.default_rng(2)
    truth = np.repeat(rng.normal(size=400), 30)[:, None]
    noise = expected(truth + rng.normal(0.0, 0.5, truth.shape))[1]
    assert abs(noise[0] - 0.5) < 0.1
    assert expected(np.zeros((100, 2)))[1].tolist() == [0.0, 0.0]


def test_speeds_from_both_meters_are_better_than_from_either() -> None:
    rng, step_s = np.random.default_rng(3), 1 / 30
    time = np.arange(6000) * step_s
    speed = 0.05 * np.cos(2 * np.pi * 0.7 * time)[:, None]
    angle = 0.05 / (2 * np.pi * 0.7) * np.sin(2 * np.pi * 0.7 * time)[:, None]
    own = speed + rng.normal(0.0, 0.0126, speed.shape)
    other = angle + rng.normal(0.0, 0.001, angle.shape)
    turned = np.gradient(other, step_s, axis=0)
    by_both, by_speed, by_angle = (
        float(np.std(thinned(one - speed, 3))) for one in (fused(step_s, own, other), own, turned)
    )
    assert by_both < 0.8 * min(by_speed, by_angle)


def test_samples_that_swings_do_not_need_are_left_out() -> None:
    time = np.arange(3600) / 30
    assert thinning(1 / 30, np.sin(2 * np.pi * time)[:, None]) == 4  # of 30 a period, six
    assert thinning(1 / 30, np.zeros((100, 1))) == 1

"""SplitMix64 gives the published words, and streams that do not depend on each other."""

from __future__ import annotations

import math

import pytest

from ripstop.core.chance import SplitMix64, stream


def test_the_words_are_those_of_the_published_generator() -> None:
    # The reference C code of Vigna (prng.di.unimi.it/splitmix64.c) with seed 1234567.
    rng = SplitMix64(1234567)
    assert [rng.word() for _ in range(5)] == [
        6457827717110365317,
        3203168211198807973,
        9817491932198370423,
        4593380528125082431,
        16408922859458223821,
    ]


def test_the_same_keys_give_the_same_stream_and_any_other_key_another() -> None:
    keys = [(1,), (2,), (1, "a"), (1, "b"), (1, "a", 0), (1, "a", 1), (1, "a", "b"), (1, "ab"), (11,), (1, 1)]
    firsts = [stream(*key).word() for key in keys]  # type: ignore[arg-type]
    assert firsts == [stream(*key).word() for key in keys]  # type: ignore[arg-type]
    assert len(set(firsts)) == len(keys)


def test_uniform_draws_stay_within_their_range_with_the_right_mean() -> None:
    rng = stream(1, "uniform")
    draws = [rng.uniform(2.0, 5.0) for _ in range(20_000)]
    assert all(2.0 <= x < 5.0 for x in draws)
    # The mean of 20,000 draws from U(2, 5) has a standard deviation of 3 / sqrt(12 * 20,000) = 0.0061.
    assert abs(sum(draws) / len(draws) - 3.5) < 5 * 0.0062


def test_exponential_draws_have_their_mean_and_no_negative() -> None:
    rng = stream(2, "exponential")
    draws = [rng.exponential(0.5) for _ in range(20_000)]
    assert min(draws) >= 0.0
    assert all(map(math.isfinite, draws))
    # The standard deviation of the mean is 0.5 / sqrt(20,000) = 0.0035.
    assert abs(sum(draws) / len(draws) - 0.5) < 5 * 0.0036


@pytest.mark.parametrize(("probability", "expected"), [(0.0, 0), (1.0, 1000)])
def test_a_chance_of_zero_never_and_of_one_always_comes(probability: float, expected: int) -> None:
    rng = stream(3)
    assert sum(rng.chance(probability) for _ in range(1000)) == expected


@pytest.mark.parametrize("count", [0, 1, 7, 8, 9, 100])
def test_octets_come_in_the_wanted_number(count: int) -> None:
    assert len(stream(4).octets(count)) == count
    assert stream(4).octets(count) == stream(4).octets(100)[:count]

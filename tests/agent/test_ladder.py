import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ripstop.agent.ladder import Ladder, LadderSettings, Response, Rung
from ripstop.core.errors import ConfigurationError

SECOND = 1_000_000
HOUR = 3600 * SECOND


def ladder(*responses, **more):
    return Ladder(LadderSettings(responses=responses, **more))


HOLD, RETURN = Response("fault", Rung.HOLD), Response("worse", Rung.RETURN)


def run(made, until_us, is_on, step_us=SECOND, condition="fault"):
    """Drive it with a condition as a function of time; give (time, rung) of every move."""
    moves = []
    for now_us in range(0, until_us, step_us):
        made.set(condition, is_on(now_us), now_us)
        if made.step(now_us):
            moves.append((now_us, made.rung))
    return moves


def test_a_rung_prints_as_its_word():
    assert f"{Rung.HOLD} {Rung.STOP}" == "hold stop"


def test_it_climbs_at_once_and_comes_down_after_the_dwell():
    moves = run(ladder(HOLD), 100 * SECOND, lambda t: 10 * SECOND <= t < 20 * SECOND)
    assert moves == [(10 * SECOND, Rung.HOLD), (50 * SECOND, Rung.CLEAR)]


def test_the_highest_rung_that_is_demanded_counts_and_it_says_why():
    made = ladder(HOLD, RETURN)
    made.set("fault", True, 0)
    made.set("worse", True, 0)
    assert made.step(0)
    assert (made.rung, made.cause) == (Rung.RETURN, "worse")
    made.set("worse", False, SECOND)
    assert not made.step(SECOND)
    assert made.next_us == 31 * SECOND
    assert made.step(31 * SECOND)
    assert (made.rung, made.cause) == (Rung.HOLD, "fault")


def test_a_condition_must_last_as_long_as_its_response_says():
    made = ladder(Response("fault", Rung.HOLD, after_s=5.0))
    moves = run(made, 30 * SECOND, lambda t: t % (6 * SECOND) < 5 * SECOND)
    assert moves == []
    assert run(made, 30 * SECOND, lambda t: True) == [(5 * SECOND, Rung.HOLD)]


def test_it_tells_when_time_alone_will_move_it():
    made = ladder(Response("fault", Rung.HOLD, after_s=5.0))
    assert made.next_us is None
    made.set("fault", True, SECOND)
    assert not made.step(SECOND)
    assert made.next_us == 6 * SECOND


def test_the_dwell_doubles_while_a_fault_comes_back_and_is_short_again_after_calm():
    made = ladder(HOLD, dwell_s=10.0, dwell_max_s=80.0)
    moves = run(made, 400 * SECOND, lambda t: not made.rung and t < 300 * SECOND)
    spans = [(down - up) // SECOND for (up, _), (down, rung) in pairwise(moves) if rung is Rung.CLEAR]
    assert spans == sorted(spans)
    assert spans[0] < 12
    assert spans[-1] >= 80
    later = run(made, 1000 * SECOND, lambda t: t == 500 * SECOND)
    assert later[-1][0] - later[-2][0] <= 12 * SECOND


@given(
    period_ms=st.integers(200, 1_800_000),
    duty=st.floats(0.05, 0.95),
    after_s=st.sampled_from((0.0, 0.5, 30.0)),
    rungs=st.lists(st.sampled_from([r for r in Rung if Rung.CLEAR < r < Rung.STOP]), min_size=1, max_size=4),
)
def test_a_square_wave_of_any_frequency_moves_it_a_bounded_number_of_times_an_hour(
    period_ms, duty, after_s, rungs
):
    """Promise 8. The bound is that of the module's docstring: a climb a rung between two descents."""
    responses = [Response(f"c{n}", rung, after_s) for n, rung in enumerate(rungs)]
    made = ladder(*responses)
    period_us, moves = period_ms * 1000, []
    edges = sorted(
        (k * period_us + round(shift * period_us * duty), k, shift)
        for k in range(min(2 * HOUR // period_us + 1, 4000))
        for shift in (0, 1)
    )
    pending = [at for at, _, _ in edges]
    for at, (now_us, _, shift) in enumerate(edges):
        for n, response in enumerate(responses):
            made.set(response.condition, shift == 0 and (at // 2 + n) % len(responses) == 0, now_us)
        if made.step(now_us):
            moves.append(now_us)
        end_us = pending[at + 1] if at + 1 < len(pending) else now_us
        while made.next_us is not None and made.next_us < end_us:
            due_us = made.next_us
            if made.step(due_us):
                moves.append(due_us)
            elif made.next_us == due_us:
                break
    descents = math.log2(1800 / 30) + 2 + 3600 / 1800
    most = descents * (1 + len(set(rungs)))
    for begin_us in moves:
        assert sum(begin_us <= t < begin_us + HOUR for t in moves) <= most


@pytest.mark.parametrize(
    ("make", "code"),
    [
        (lambda: LadderSettings(dwell_s=0.0), "C0374"),
        (lambda: LadderSettings(dwell_s=9.0, dwell_max_s=8.0), "C0374"),
        (lambda: LadderSettings((Response("x", Rung.STOP),)), "C0375"),
        (lambda: LadderSettings((Response("x", Rung.CLEAR),)), "C0375"),
        (lambda: LadderSettings((Response("x", Rung.HOLD, after_s=math.nan),)), "C0374"),
    ],
)
def test_settings_that_cannot_be_are_refused(make, code):
    with pytest.raises(ConfigurationError) as caught:
        make()
    assert caught.value.code == code

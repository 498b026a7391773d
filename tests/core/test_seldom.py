"""What repeats is told ever more seldom."""

from ripstop.core.seldom import Seldom

S = 1_000_000


def told(seldom, times, kind="a"):
    return [(at, count) for at in times if (count := seldom.take(kind, at * S // 10))]


def test_a_storm_is_told_at_once_then_at_waits_that_double_with_how_often_it_happened():
    found = told(Seldom(), range(100_000))  # ten a second, for nearly three hours
    assert found[:4] == [(0, 1), (10, 10), (30, 20), (70, 40)]
    assert found[-1][1] == found[-2][1] == 6000
    assert len(found) < 30


def test_nothing_is_lost_of_the_count():
    found = told(Seldom(), range(10_230))
    assert sum(count for _, count in found) == found[-1][0] + 1


def test_what_comes_a_second_apart_is_always_told():
    assert told(Seldom(), range(0, 100, 10)) == [(at, 1) for at in range(0, 100, 10)]


def test_what_stayed_away_is_new_again_and_what_was_untold_is_counted():
    seldom = Seldom()
    assert told(seldom, range(35)) == [(0, 1), (10, 10), (30, 20)]
    assert told(seldom, [600, 603, 610]) == [(600, 5), (610, 2)]


def test_kinds_do_not_hinder_one_another_and_are_bounded():
    seldom = Seldom()
    assert [seldom.take(f"kind {n}", 0) for n in range(1000)] == [1] * 1000
    assert len(seldom._kinds) == 256
    assert seldom.take("kind 999", 0) == 0
    assert seldom.take("kind 0", 0) == 1

"""What a program on the event loop can ask for."""

import gc

from ripstop.links.loop import settled


def test_the_collector_looks_seldom_within_and_as_before_after() -> None:
    before = gc.get_threshold()
    with settled():
        assert gc.get_threshold()[0] > 10 * before[0]
        assert gc.get_freeze_count() > 0
    assert gc.get_threshold() == before
    assert gc.get_freeze_count() == 0

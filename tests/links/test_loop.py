"""What a program on the event loop can ask for."""

import gc
import resource

from ripstop.links.loop import settled


def test_the_collector_looks_seldom_within_and_as_before_after() -> None:
    before = gc.get_threshold()
    with settled():
        assert gc.get_threshold()[0] > 10 * before[0]
        assert gc.get_freeze_count() > 0
    assert gc.get_threshold() == before
    assert gc.get_freeze_count() == 0


def test_memory_for_a_burst_is_at_hand():
    with settled():
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        held = [bytes(200) for _ in range((16 << 20) // 200)]
        faults = resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
    assert len(held) * 200 / 4096 > 4000
    assert faults < 400

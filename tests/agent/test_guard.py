import math

from ripstop.agent.breaker import BreakerSettings, BreakerState
from ripstop.agent.guard import MOST_UNDECLARED, Guard
from ripstop.agent.settings import NodeSettings
from ripstop.core.chance import stream
from ripstop.core.vocabulary import OPEN, SignalSpec, Vocabulary

SECOND = 1_000_000
RULES = BreakerSettings(minimum_number_of_calls=1, wait_s=1.0, wait_max_s=8.0, jitter=0.0)
VOCABULARY = Vocabulary(
    "v",
    signals={
        "battery_v": SignalSpec("battery_v", unit="V", low=9.0, high=13.0),
        "mode": SignalSpec("mode", type="string"),
    },
)


def guard(vocabulary=VOCABULARY, **more):
    return Guard(NodeSettings("a", breaker=RULES, **more), vocabulary)


def run(made, values, start_s=0):
    return [made.observe({"battery_v": v}, (start_s + i) * SECOND) for i, v in enumerate(values)]


def states(found):
    return [t.after.value for f in found if f for t in f.transitions]


def test_quiet_readings_give_nothing():
    assert run(guard(), [12.5, 12.4, 12.5, 12.4] * 20) == [None] * 80


def test_an_alarm_opens_the_breaker_at_once_and_is_told_with_its_reason():
    made = guard()
    found = run(made, [12.5, 12.4, 12.3, 10.0])[-1]
    assert set(found.alarms) == {"battery_v"}
    assert made.state is BreakerState.OPEN
    assert found.news[0]["signal"] == "battery_v"
    assert "sigma below its usual 12.4" in found.news[0]["text"]


def test_an_alarm_that_lasts_is_told_again_every_five_seconds_only():
    found = run(guard(), [12.5, 12.4, 12.3] + [10.0] * 20)
    assert [i for i, f in enumerate(found) if f and f.news] == [3, 8, 13, 18]


def test_a_bad_probe_reopens_it_and_good_ones_close_it():
    made = guard()
    bad = run(made, [12.5, 12.4, 12.3] + [10.0] * 4)
    assert states(bad) == ["open", "half_open", "open", "half_open", "open"]
    good = run(made, [12.3] * 12, start_s=7)
    assert states(good) == ["half_open", "closed"]
    assert good[0].recovered == ["battery_v"]
    assert good[-1] is None


def test_nan_everywhere_opens_it_and_is_never_learned():
    made = guard()
    run(made, [12.5, 12.4, 12.3])
    found = run(made, [math.nan] * 50, start_s=3)
    assert all(f.alarms for f in found)
    assert made.monitor("battery_v").count == 3


def test_only_what_is_watched_is_watched():
    made = guard(watch=())
    assert run(made, [12.5, 12.4, 12.3, 1.0]) == [None] * 4
    assert guard().monitor("mode") is None


def test_an_open_vocabulary_watches_every_number_that_comes():
    made = guard(OPEN)
    assert made.observe({"x": 1.0, "name": "n"}, 0) is None
    assert made.monitor("x") is not None
    assert made.monitor("name") is None


def test_metrics_only_counts_alarms_and_restrains_nothing():
    made = guard(enforce=False)
    found = run(made, [12.5, 12.4, 12.3, 10.0, 10.0])
    assert found[3].news
    assert states(found) == []
    assert made.state is BreakerState.METRICS_ONLY
    assert run(made, [12.4] * 3, start_s=5)[0].recovered == ["battery_v"]
    assert run(made, [12.4] * 3, start_s=8) == [None] * 3


def test_news_alone_is_told_and_opens_nothing():
    made = guard(OPEN)
    rng = stream(1, "noise")
    for second in range(5_000):
        made.observe({"x": 10.0 + rng.uniform(-1.0, 1.0)}, second * SECOND)
    news = []
    for second in range(5_000, 5_060):
        found = made.observe({"x": 11.0 + rng.uniform(-0.5, 0.5)}, second * SECOND)
        news += found.news if found else []
    assert {fields["kind"] for fields in news} == {"novel"}
    assert made.state is BreakerState.CLOSED


def test_undeclared_signals_are_watched_up_to_a_number_and_the_forgotten_are_counted():
    made = guard(OPEN)
    for number in range(MOST_UNDECLARED):
        made.observe({f"x{number}": 1.0}, number)
    made.observe({"x0": 1.0}, MOST_UNDECLARED)
    assert made.evicted == 0
    made.observe({"one more": 1.0}, MOST_UNDECLARED + 1)
    assert made.evicted == MOST_UNDECLARED // 4
    assert made.monitor("x0") is not None
    assert made.monitor("x1") is None
    assert made.monitor("one more") is not None


def test_a_signal_of_which_nothing_was_declared_by_a_vocabulary_that_is_closed_is_not_watched():
    made = guard()
    made.observe({"surprise": 1.0}, 0)
    assert made.monitor("surprise") is None

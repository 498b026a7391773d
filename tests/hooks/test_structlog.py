"""Events of agents in structlog."""

import builtins
import logging

import pytest
import structlog

from ripstop import Agent
from ripstop.core.clock import ManualClock
from ripstop.core.errors import ConfigurationError
from ripstop.hooks import log_to_structlog

VOLTS = (12.5, 12.4, 12.3, 11.0)


def alarmed(name="drone-1"):
    clock = ManualClock(1_767_225_600_000_000)
    agent = Agent(name, clock=clock)
    for value in VOLTS:
        agent.observe(battery_v=value)
        clock.advance(1.0)
    return agent


def test_what_happens_in_an_agent_reaches_structlog_with_its_fields():
    with structlog.testing.capture_logs() as told, log_to_structlog():
        alarmed()
    events = {entry["event"]: entry for entry in told}
    assert events["breaker.opened"]["agent"] == "drone-1"
    assert events["breaker.opened"]["to"] == "open"
    assert events["breaker.opened"]["log_level"] == "info"
    assert events["anomaly.detected"]["signal"] == "battery_v"


def test_a_bound_logger_of_ones_own_is_used():
    output = structlog.testing.LogCapture()
    logger = structlog.wrap_logger(None, processors=[output]).bind(site="depot-3")
    with log_to_structlog(logger):
        alarmed()
    assert {entry["site"] for entry in output.entries} == {"depot-3"}


def test_levels_are_kept_and_a_field_named_event_does_not_hide_the_event_s_name():
    log = logging.getLogger("ripstop.agent")
    with structlog.testing.capture_logs() as told, log_to_structlog():
        log.error("ledger.failed", extra={"agent": "a", "fields": {"event": "x", "odd": object()}})
        log.warning("link.refused", extra={"link": "a"})
        log.debug("too.quiet")
    assert [(entry["event"], entry["log_level"]) for entry in told] == [
        ("ledger.failed", "error"),
        ("link.refused", "warning"),
    ]
    assert told[0]["cue"] == "x"
    assert "odd" not in told[0]


def test_a_removed_hook_hears_nothing_and_leaves_the_logger_as_it_was():
    logger = logging.getLogger("ripstop")
    before = logger.level, list(logger.handlers)
    with structlog.testing.capture_logs() as told:
        hook = log_to_structlog()
        hook.remove()
        hook.remove()
        alarmed()
    assert told == []
    assert (logger.level, logger.handlers) == before


def test_a_logger_that_raises_does_not_stop_the_agent(monkeypatch):
    monkeypatch.setattr(logging, "raiseExceptions", False)

    class Broken:
        def __getattr__(self, name):
            raise OSError("the disk of the logs is full")

    with log_to_structlog(Broken()):
        agent = alarmed()
    assert agent.breaker_state.value == "open"


def test_without_the_package_the_extra_is_named(monkeypatch):
    real = builtins.__import__

    def missing(name, *args, **kwargs):
        if name == "structlog":
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", missing)
    with pytest.raises(ConfigurationError, match="C0001") as caught:
        log_to_structlog()
    assert "ripstop[structlog]" in str(caught.value)

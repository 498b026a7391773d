"""The same loop in real time over a real NATS server, with a small fleet and a short window."""

import asyncio
import multiprocessing
import os
import shutil
import signal
from dataclasses import replace

import pytest

from ripstop.control.audit.files import read_log
from ripstop.control.audit.verify import verify_run
from ripstop.core.shipped import shipped
from ripstop.lab.live import LiveFleet, Window, live_tempo
from ripstop.lab.steps import eight_steps, last_acknowledgement_s
from ripstop.links.loop import run as run_loop
from shifts import small_experiment

pytestmark = pytest.mark.nats
WINDOW = Window(before_s=3.0, after_s=9.0, replaced_after_s=3.0, tick_s=0.25, drain_s=6.0)
SEED = 2


def small_fleet(folder, window=WINDOW):
    policies = folder / "policies"
    shutil.copytree(shipped("policies") / "drones", policies / "drones")
    shutil.copytree(shipped("vocabularies"), policies / "vocabularies")
    fleet = LiveFleet(small_experiment(), SEED, folder, policies, window)
    for _ in fleet.prepare():
        pass
    return fleet


@pytest.fixture(scope="module")
def played(tmp_path_factory):
    fleet = small_fleet(tmp_path_factory.mktemp("live") / "run")
    return fleet, asyncio.run(fleet.run())


def test_a_fleet_that_one_process_carries_with_effort_beats_less_often():
    usual, large = live_tempo(150), live_tempo(1000)
    assert usual == live_tempo(1)
    assert large.beat_s == 5.0 * usual.beat_s
    assert large.lease_s == 5.0 * usual.lease_s
    assert large.incident_s == usual.incident_s


def test_the_loop_closes_over_nats(played):
    _, run = played
    steps = {step.number: step for step in eight_steps(run.evidence)}
    missing = [(n, steps[n].reason) for n in (1, 2, 3, 4, 5, 6) if not steps[n].reached]
    assert missing == []
    assert last_acknowledgement_s(run.evidence) is not None


def test_every_agent_answers_the_intent_and_its_way_is_timed(played):
    fleet, run = played
    assert run.dispatches
    widest = max(run.dispatches, key=lambda dispatch: dispatch.targets)
    assert widest.targets == len(fleet.shift.rig.names)
    assert 0.0 < widest.verify_p50_ms <= widest.total_p50_ms


def test_what_the_agents_have_on_file_is_on_file_at_the_ground_and_verifies(played):
    _, run = played
    assert run.unreceipted == 0
    found = verify_run(run.folder)
    assert [str(finding) for finding in found.findings] == []
    assert found.counts["decisions.verified"] > 0


def test_a_byte_changed_in_the_record_is_found(played, tmp_path):
    _, run = played
    copy = tmp_path / "copy"
    shutil.copytree(run.folder / "audit", copy / "audit")
    log = copy / "audit" / "segments.log"
    raw = bytearray(log.read_bytes())
    raw[len(raw) // 2] ^= 1
    log.write_bytes(raw)
    assert not verify_run(copy).is_sound


def test_every_message_is_on_file(played):
    _, run = played
    log = read_log(run.folder / "wire", "wire")
    assert log.damage is None
    assert len(log.records) == run.topics.total()
    assert {"beat", "tick", "ack", "intent", "segment", "receipt", "work"} <= set(run.topics)


def test_what_is_recorded_last_is_receipted_without_waiting_for_a_segment_s_time(tmp_path):
    fleet = small_fleet(tmp_path / "run", replace(WINDOW, after_s=1.0, drain_s=3.0))
    assert fleet.experiment.tempo.segment_s > 3.0 + 1.0 + 3.0
    assert asyncio.run(fleet.run()).unreceipted == 0


def test_a_ground_that_is_killed_in_mid_run_comes_back_and_nothing_recorded_is_lost(tmp_path):
    fleet = small_fleet(tmp_path / "run", replace(WINDOW, after_s=12.0, drain_s=20.0))
    killed = []

    def kill_once(share):
        if share > 0.5 and not killed:
            (process,) = multiprocessing.active_children()
            killed.append(process.pid)
            os.kill(process.pid, signal.SIGKILL)

    run = run_loop(fleet.run(kill_once))
    assert killed
    assert run.unreceipted == 0
    assert [entry.fields["epoch"] for entry in run.journal.all("authority.gained")] == [1, 2]
    assert not list(run.journal.all("ledger.forked"))
    found = verify_run(run.folder)
    assert [str(finding) for finding in found.findings] == []
    assert found.counts["decisions.verified"] > 0

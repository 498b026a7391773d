"""The eight steps of the loop, read off what the nodes reported: reached and when, or why not.

Nothing here makes a step happen. Each is found by the report of the mechanism that it names; where there is
no such report, the step is not reached, and the nearest evidence says why.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from ripstop.core.node import Scalar
from ripstop.lab.crew import Veto
from ripstop.lab.journal import Entry, Journal
from ripstop.lab.report.schema import Record, Step
from ripstop.lab.rig import CONTROL

PAYLOAD, ADMISSION = "drone/payload-limit", "drone/admission"
_QUIET_S, _ALERT_S = 60.0, 5.0


@dataclass(slots=True)
class Evidence:
    """What the steps are read from; times in microseconds since the shift began.

    `frames_us`: when telemetry of the faulty drone arrived at the ground. `hops`: offers by hops, before and
    after the star. `record` is None as long as nobody has verified it.
    """

    journal: Journal
    faulty: str
    fault_us: int
    vetoes: Sequence[Veto] = ()
    frames_us: list[int] = field(default_factory=list)
    hops: dict[int, int] = field(default_factory=dict)
    record: Record | None = None
    recorded_us: int | None = None

    def first(self, name: str, node: str | None = None, **fields: Scalar) -> Entry | None:
        """Give the first such report after the fault."""
        return self.journal.first(name, node=node, since_us=self.fault_us, **fields)


@dataclass(frozen=True, slots=True)
class _Found:
    """A step's outcome: when it was reached (None: it was not), what happened, or why nothing did."""

    at_us: int | None
    text: str


def eight_steps(evidence: Evidence) -> tuple[Step, ...]:
    """Give the eight steps in order."""
    steps = []
    for number, (name, find) in enumerate(_STEPS, 1):
        found = find(evidence)
        reached = found.at_us is not None
        wall_s = (found.at_us - evidence.fault_us) / 1e6 if found.at_us is not None else None
        detail, reason = (found.text, "") if reached else ("", found.text)
        steps.append(Step(number, name, reached, wall_s, detail, reason))
    return tuple(steps)


def last_acknowledgement_s(evidence: Evidence) -> float | None:
    """Give the seconds from the fault to the last acknowledgement of shedding and star; None without one."""
    done = evidence.first("mitigation.complete", CONTROL)
    return (done.t_us - evidence.fault_us) / 1e6 if done else None


def _detection(evidence: Evidence) -> _Found:
    opened = evidence.first("breaker.opened", evidence.faulty)
    anomaly = evidence.first("anomaly.detected", evidence.faulty)
    if opened is None:
        return _Found(None, "its monitor raised no alarm" if anomaly is None else "its breaker did not open")
    said = anomaly.fields.get("text", "") if anomaly else ""
    return _Found(opened.t_us, f"{said}; breaker open" if said else "breaker open")


def _policy(evidence: Evidence) -> _Found:
    after = [veto for veto in evidence.vetoes if veto.t_us >= evidence.fault_us]
    own = [veto for veto in after if veto.agent == evidence.faulty and PAYLOAD in veto.policies]
    others = [veto for veto in after if ADMISSION in veto.policies]
    admitted = f"{len(others)} hand-overs vetoed by their targets"
    if not own:
        return _Found(None, f"the faulty drone asked for no payload after its alarm; {admitted}")
    return _Found(own[0].t_us, f"{PAYLOAD} denied {own[0].action} on {own[0].agent}; {admitted}")


def _telemetry(evidence: Evidence) -> _Found:
    opened = evidence.first("anomaly.detected", evidence.faulty)
    if opened is None:
        return _Found(None, "no alarm, so nothing to report more often")
    before = sum(evidence.fault_us - _QUIET_S * 1e6 <= t < evidence.fault_us for t in evidence.frames_us)
    after = [t for t in evidence.frames_us if opened.t_us <= t <= opened.t_us + _ALERT_S * 1e6]
    usual, now = before / _QUIET_S, len(after) / _ALERT_S
    if len(after) < 2 or now <= 2.0 * usual:
        return _Found(None, f"{now:.2f} frames a second after the alarm, {usual:.2f} before")
    return _Found(after[0], f"{usual:.2f} frames a second before the fault, {now:.2f} after the alarm")


def _risk(evidence: Evidence) -> _Found:
    said = _assessments(evidence)
    opened = evidence.first("incident.opened", CONTROL)
    if opened is None:
        return _Found(None, f"stayed below the threshold: {said}" if said else "nobody was suspected")
    return _Found(opened.t_us, said)


def _assessments(evidence: Evidence) -> str:
    """Give the highest probability that each model reported."""
    best: dict[str, Entry] = {}
    for entry in evidence.journal.all("risk.assessed", node=CONTROL, since_us=evidence.fault_us):
        if not entry.fields.get("suspects"):
            continue
        model = str(entry.fields["model"])
        if model not in best or _number(entry, "probability") > _number(best[model], "probability"):
            best[model] = entry
    return "; ".join(
        f"{model}: P(cascade) up to {_number(entry, 'probability'):.2f} "
        f"[{_number(entry, 'low'):.2f}, {_number(entry, 'high'):.2f}]"
        for model, entry in sorted(best.items())
    )


def _shedding(evidence: Evidence) -> _Found:
    planned = evidence.first("mitigation.planned", CONTROL)
    if planned is None:
        return _Found(None, "no incident was opened, so nothing was planned")
    if planned.fields.get("keep") is None:
        return _Found(None, f"the planner shed nothing: it chose `{planned.fields.get('plan')}`")
    return _acknowledged(
        evidence,
        f"priorities above {planned.fields['keep']} pause within {_number(planned, 'radius_m') / 1e3:g} km "
        f"of {planned.fields.get('centres')} places; risk left by each rung tried: "
        f"{planned.fields.get('tried')}",
    )


def _star(evidence: Evidence) -> _Found:
    planned = evidence.first("mitigation.planned", CONTROL)
    if planned is None:
        return _Found(None, "no incident was opened, so the region stayed a mesh")
    hops = ", ".join(f"{count} over {hops}" for hops, count in sorted(evidence.hops.items()))
    relayed = sum(1 for _ in evidence.journal.all("peer.relayed", node=CONTROL, since_us=evidence.fault_us))
    refused = sum(1 for _ in evidence.journal.all("peer.refused", node=CONTROL, since_us=evidence.fault_us))
    return _acknowledged(
        evidence,
        f"{planned.fields.get('targets')} drones in a star; the hub relayed {relayed} messages and refused "
        f"{refused} hand-overs; offers by hops: {hops or 'none'}",
    )


def _acknowledged(evidence: Evidence, detail: str) -> _Found:
    done = evidence.first("mitigation.complete", CONTROL)
    if done is None:
        missed = evidence.first("mitigation.incomplete", CONTROL)
        who = f": missing {missed.fields.get('agent')}" if missed else ""
        return _Found(None, f"not every target acknowledged{who}")
    return _Found(done.t_us, f"{detail}; {done.fields.get('targets')} acknowledged")


def _recovery(evidence: Evidence) -> _Found:
    replaced = evidence.first("sensor.replaced", evidence.faulty)
    if replaced is None:
        return _Found(None, "the sensor was not replaced within the window")
    closed = evidence.journal.first("breaker.closed", node=evidence.faulty, since_us=replaced.t_us)
    if closed is None:
        return _Found(None, "the breaker did not close again")
    opened = _last(evidence, "incident.opened")
    if opened is None:
        return _Found(closed.t_us, "the breaker probed and closed; there was no restriction to lift")
    lifted = _last(evidence, "incident.closed")
    if lifted is None or lifted.t_us < opened.t_us:
        return _Found(None, "the restrictions were not lifted within the window")
    rejoined = "the drone took its tour up again" if replaced.fields.get("rejoins") else "the drone flew home"

    def after(entry: Entry) -> str:
        return f"+{(entry.t_us - evidence.fault_us) / 1e6:.1f} s"

    return _Found(
        max(closed.t_us, lifted.t_us),
        f"sensor replaced at {after(replaced)}, breaker closed at {after(closed)}, {rejoined}, "
        f"restrictions lifted at {after(lifted)}",
    )


def _last(evidence: Evidence, name: str) -> Entry | None:
    """Give the control plane's last such report after the fault."""
    found = list(evidence.journal.all(name, node=CONTROL, since_us=evidence.fault_us))
    return found[-1] if found else None


def _recorded(evidence: Evidence) -> _Found:
    record = evidence.record
    if record is None:
        return _Found(None, "nothing was put on file")
    if not record.verified:
        return _Found(None, f"the record does not verify: {'; '.join(record.findings[:3])}")
    return _Found(evidence.recorded_us, f"{record.decisions} decisions in {record.segments} segments verify")


def _number(entry: Entry, name: str) -> float:
    value = entry.fields.get(name)
    return float(value) if isinstance(value, int | float) else 0.0


_STEPS: tuple[tuple[str, Callable[[Evidence], _Found]], ...] = (
    ("Local detection", _detection),
    ("Policy on the drones", _policy),
    ("Telemetry", _telemetry),
    ("Risk", _risk),
    ("Mitigation", _shedding),
    ("Re-configuration", _star),
    ("Recovery", _recovery),
    ("Record", _recorded),
)

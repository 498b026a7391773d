"""What Prometheus is told, in its text format; kept by hand because the base install has no package.

References:
    Prometheus, Exposition formats, text-based format 0.0.4; Metric and label naming (base units, `_total`).
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Mapping

from ripstop.agent.breaker import BreakerState
from ripstop.core.value import dataclass

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
STATES = tuple(state.value for state in BreakerState)
_BUCKETS_S = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.1, 1.0)


@dataclass(frozen=True, slots=True)
class AgentGauges:
    """Where one agent stands; `circuits` counts the breakers of its actions by state."""

    agent: str
    breaker: str
    circuits: Mapping[str, int]
    pending: int
    records: int
    is_failing: bool


class Family:
    """The counts under one name, by the values of its labels."""

    def __init__(self, name: str, kind: str, text: str, *labels: str) -> None:
        self._head = f"# HELP {name} {text}\n# TYPE {name} {kind}\n"
        self._name = name
        self._labels = labels
        self._counts: Counter[tuple[str, ...]] = Counter()

    def add(self, *values: str) -> None:
        """Count one."""
        self._counts[values] += 1

    def text(self, counts: Mapping[tuple[str, ...], float] | None = None) -> str:
        """Write the family, with these counts in place of its own."""
        rows = sorted((self._counts if counts is None else counts).items())
        return self._head + "".join(
            f"{self._name}{_labelled(zip(self._labels, values, strict=True))} {count}\n"
            for values, count in rows
        )


class Histogram:
    """How long requests took, in seconds."""

    def __init__(self, name: str, text: str) -> None:
        self._head = f"# HELP {name} {text}\n# TYPE {name} histogram\n"
        self._name = name
        self._counts = [0] * (len(_BUCKETS_S) + 1)
        self._sum_s = 0.0

    def add(self, seconds: float) -> None:
        """Count one."""
        self._counts[bisect_left(_BUCKETS_S, seconds)] += 1
        self._sum_s += seconds

    def text(self) -> str:
        """Write it, its buckets cumulative."""
        lines, total = [self._head], 0
        for bound, count in zip((*map(str, _BUCKETS_S), "+Inf"), self._counts, strict=True):
            total += count
            lines.append(f'{self._name}_bucket{{le="{bound}"}} {total}\n')
        return "".join([*lines, f"{self._name}_sum {self._sum_s}\n{self._name}_count {total}\n"])


def _labelled(labels: Iterable[tuple[str, str]]) -> str:
    parts = [f'{name}="{_escaped(value)}"' for name, value in labels]
    return f"{{{','.join(parts)}}}" if parts else ""


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


class Metrics:
    """The metrics of one sidecar; gauges are read when somebody asks."""

    def __init__(self) -> None:
        self.requests = Family(
            "ripstop_sidecar_requests_total", "counter", "Requests answered.", "path", "status"
        )
        self.took = Histogram(
            "ripstop_sidecar_request_duration_seconds", "From a whole request to its answer."
        )
        self.decisions = Family(
            "ripstop_decisions_total", "counter", "Decisions answered, dry runs left out.", "agent", "verdict"
        )
        self.alarms = Family("ripstop_alarms_total", "counter", "Readings that alarmed.", "agent")
        self.outcomes = Family("ripstop_outcomes_total", "counter", "Outcomes told.", "agent", "outcome")
        self._refused = Family(
            "ripstop_sidecar_connections_refused_total", "counter", "Connections ended by an error."
        )
        self._connections = Family("ripstop_sidecar_connections", "gauge", "Connections open.")
        self._pending = Family("ripstop_calls_pending", "gauge", "Calls without an outcome yet.", "agent")
        self._breaker = Family(
            "ripstop_breaker_state",
            "gauge",
            "1 at the state that the anomaly breaker is in.",
            "agent",
            "state",
        )
        self._circuits = Family(
            "ripstop_circuits", "gauge", "Breakers of actions, by state.", "agent", "state"
        )
        self._ledger = Family("ripstop_ledger_records_total", "counter", "Records ever appended.", "agent")
        self._failing = Family("ripstop_ledger_failing", "gauge", "1 while records cannot be kept.", "agent")

    def text(self, connections: tuple[int, int], agents: Iterable[AgentGauges]) -> str:
        """Write all of them; `connections` are those open, and those ever ended by an error."""
        shown = list(agents)
        is_open, refused = connections
        return "".join(
            (
                self.requests.text(),
                self.took.text(),
                self.decisions.text(),
                self.alarms.text(),
                self.outcomes.text(),
                self._refused.text({(): refused}),
                self._connections.text({(): is_open}),
                self._pending.text({(one.agent,): one.pending for one in shown}),
                self._breaker.text(
                    {(one.agent, state): int(state == one.breaker) for one in shown for state in STATES}
                ),
                self._circuits.text(
                    {(one.agent, state): n for one in shown for state, n in one.circuits.items()}
                ),
                self._ledger.text({(one.agent,): one.records for one in shown}),
                self._failing.text({(one.agent,): int(one.is_failing) for one in shown}),
            )
        )

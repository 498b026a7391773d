"""What Prometheus is told: names with units, kept up to date from the node's reports and its state."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, cast

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, make_wsgi_app
from prometheus_client.exposition import ThreadingWSGIServer

from ripstop.core.errors import ConfigurationError
from ripstop.core.node import Report

from .node import ControlNode
from .registry import Presence

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIEnvironment

_FAST_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_LONG_S = (1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3600.0)


class Metrics:
    """The metrics of one control plane, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._known: dict[str, int] = {}
        self._agents = self._gauge("agents", "Enrolled agents by presence.", "presence")
        self._samples = self._counter("telemetry_samples", "Samples by what became of them.", "outcome")
        self._risk = self._gauge("risk_ratio", "P(fault) x P(cascade) as last assessed.", "model", "bound")
        self._assessed = self._counter("risk_assessments", "Assessments by model.", "model")
        self._margin = self._gauge("margin", "Stability margin: damping ratio and headroom in p.u.", "figure")
        self._margin_known = self._gauge("margin_known", "1 while the stability margin is known.")
        self._margin_age = self._gauge("margin_age_seconds", "Age of the last margin; none before it.")
        self._fit = self._gauge(
            "margin_fit_ratio", "Quality of the last fit: explained share, error correlation.", "figure"
        )
        self._fits = self._counter("margin_fits", "Fits of the stability model, by outcome.", "outcome")
        self._open = self._gauge("incident_open", "1 while an incident is open.")
        self._incidents = self._counter("incidents", "Incidents opened.")
        self._lasted = self._histogram("incident_duration_seconds", "From opening to close.", _LONG_S)
        self._issued = self._counter("intents_issued", "Changed intents issued, by purpose.", "purpose")
        self._acks = self._counter("acks", "Answers to intents, by status.", "status")
        self._answered = self._histogram("ack_delay_seconds", "From an intent to an answer.", _FAST_S)
        self._complete = self._histogram(
            "mitigation_complete_seconds", "From an intent to its last target's answer.", _FAST_S
        )
        self._unmitigated = self._gauge("agents_unmitigated", "Targets of the last mitigation without it.")
        self._peers = self._counter("peer_messages", "Messages at the hub, by outcome.", "outcome")
        self._segments = self._counter("ledger_segments", "Ledger segments, by outcome.", "outcome")
        self._refused = self._counter("messages_refused", "Messages refused, by code.", "code")
        self._release = self._gauge("release_number", "The release in force.")
        self._bad_commits = self._counter("commits_refused", "Commits that made no release.")
        self._head_refused = self._gauge("head_refused", "1 while the commit that HEAD names is refused.")
        self._epoch = self._gauge("authority_epoch", "The epoch held; 0 while passive.")
        self._failures = self._counter("failures", "What failed in the shell, by part.", "part")

    def _gauge(self, name: str, text: str, *labels: str) -> Gauge:
        return Gauge(f"ripstop_{name}", text, labels, registry=self.registry)

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(f"ripstop_{name}_total", text, labels, registry=self.registry)

    def _histogram(self, name: str, text: str, buckets: tuple[float, ...]) -> Histogram:
        return Histogram(f"ripstop_{name}", text, buckets=buckets, registry=self.registry)

    def failed(self, part: str) -> None:
        """Count something that failed in the shell."""
        self._failures.labels(part).inc()

    def commit_refused(self) -> None:
        """Count a commit that made no release."""
        self._bad_commits.inc()

    def head(self, *, is_refused: bool) -> None:
        """Take over whether the commit that HEAD names is refused."""
        self._head_refused.set(is_refused)

    def note(self, report: Report) -> None:
        """Count what a node's report tells."""
        fields = report.fields
        match report.name:
            case "risk.assessed":
                model = str(fields["model"])
                self._assessed.labels(model).inc()
                for bound in ("probability", "low", "high"):
                    self._risk.labels(model, bound).set(_number(fields[bound]))
            case "margin.assessed":
                for figure in ("damping", "damping_low", "headroom", "headroom_low"):
                    self._margin.labels(figure).set(_number(fields[figure]))
            case "incident.opened":
                self._incidents.inc()
            case "incident.closed":
                self._lasted.observe(_number(fields["duration_s"]))
            case "intent.issued":
                self._issued.labels(str(fields["purpose"])).inc()
            case "ack.received":
                self._acks.labels(str(fields["status"])).inc()
                self._answered.observe(_number(fields["after_s"]))
            case "mitigation.complete":
                self._complete.observe(_number(fields["after_s"]))
                self._unmitigated.set(0)
            case "mitigation.incomplete":
                self._unmitigated.set(_number(fields["targets"]) - _number(fields["applied"]))
            case "peer.relayed" | "peer.refused" | "peer.rejected":
                self._peers.labels(report.name.partition(".")[2]).inc()
            case "segment.delayed":
                self._segments.labels("delayed").inc()
            case "message.refused" | "segment.refused":
                self._refused.labels(str(fields["code"])).inc()

    def refresh(self, node: ControlNode, now_us: int) -> None:
        """Take over what is a state and no event, at a monotonic time."""
        counts = dict.fromkeys(Presence, 0)
        for member in node.registry:
            counts[member.presence] += 1
        for presence, count in counts.items():
            self._agents.labels(presence.value).set(count)
        for outcome, count in sorted(node.telemetry.counts.items()):
            self._count_up(self._samples.labels(outcome), f"samples {outcome}", count)
        self._count_up(self._segments.labels("accepted"), "segments accepted", node.intake.accepted)
        self._count_up(self._segments.labels("repeated"), "segments repeated", node.intake.repeated)
        self._refresh_margin(node, now_us)
        self._open.set(node.desk.hub.incident is not None)
        self._release.set(node.authority.will.release.counter)
        self._epoch.set(node.authority.position.epoch if node.authority.is_active else 0)

    def _refresh_margin(self, node: ControlNode, now_us: int) -> None:
        watch, identifier = node.desk.margin, node.identifier
        self._margin_known.set(watch.is_known and watch.found_us is not None)
        if watch.found_us is not None:
            self._margin_age.set(watch.age_s(now_us))
        if identifier is None:
            return
        self._count_up(self._fits.labels("found"), "fits found", identifier.fits - identifier.refused)
        self._count_up(self._fits.labels("refused"), "fits refused", identifier.refused)
        if identifier.last is not None:
            self._fit.labels("explained").set(identifier.last.explained)
            self._fit.labels("correlation").set(identifier.last.correlation)

    def _count_up(self, counter: Counter, name: str, total: int) -> None:
        """Bring a counter up to the node's own count."""
        counter.inc(total - self._known.get(name, 0))
        self._known[name] = total


def _number(value: object) -> float:
    return float(value) if isinstance(value, int | float) else 0.0


class MetricsServer:
    """Serves `/metrics` and `/healthz` on the loopback, from a thread of its own."""

    def __init__(self, metrics: Metrics, is_healthy: Callable[[], dict[str, object]], port: int = 0) -> None:
        """Listen; port 0 takes any free one.

        Raises:
            ConfigurationError: C0241 where the port is taken.
        """
        from wsgiref.simple_server import WSGIRequestHandler, make_server

        class Quiet(WSGIRequestHandler):
            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
                """Keep requests out of the log."""

        exposition = make_wsgi_app(metrics.registry)

        def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
            path = environ.get("PATH_INFO", "/")
            if path == "/metrics":
                return cast(Iterable[bytes], exposition(environ, start_response))
            if path != "/healthz":
                start_response("404 Not Found", [("Content-Type", "text/plain")])
                return [b"/metrics or /healthz\n"]
            health = is_healthy()
            status = "200 OK" if health["ready"] else "503 Service Unavailable"
            start_response(status, [("Content-Type", "application/json")])
            return [json.dumps(health).encode() + b"\n"]

        try:
            self._server = make_server(
                "127.0.0.1", port, app, server_class=ThreadingWSGIServer, handler_class=Quiet
            )
        except OSError as error:
            raise ConfigurationError(
                f"port {port} for the metrics is taken", code="C0241", hint="choose another `--metrics-port`"
            ) from error
        self.port: int = self._server.server_port
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.1,), daemon=True, name="metrics"
        )
        self._thread.start()

    def close(self) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

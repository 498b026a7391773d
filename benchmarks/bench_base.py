"""The base install in a fresh environment: import time, memory, foreign modules; and what hooks cost.

    python benchmarks/bench_base.py

A wheel is built and installed without any dependency. Times are the least of many starts, less those of a
bare interpreter; memory is the resident set that the kernel states at the end of a program. The bar of time
is for imports: an agent that has decided has read, checked and compiled a policy, too.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from time import perf_counter, perf_counter_ns

from ripstop import Agent

ROOT = Path(__file__).resolve().parents[1]
POLICY = ROOT / "policies" / "payload_limit.json"
BAR_MS, BAR_MB = 100.0, 25.0
STARTS, CALLS = 15, 20_000
SAY = """
import json, sys
known = {*sys.stdlib_module_names, "ripstop", "__main__"}
rss = next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmRSS"))
print(json.dumps({"rss_mb": int(rss) / 1024,
                  "foreign": sorted({n.partition(".")[0] for n in sys.modules} - known)}))
"""
DECIDED = "... and an agent that has decided"
PROGRAMS = {
    "import ripstop": "import ripstop",
    "... and Agent": "from ripstop import Agent, ActionVetoed",
    DECIDED: (
        f"from ripstop import Agent; agent = Agent('drone-1', {str(POLICY)!r});"
        "agent.observe(battery_percent=26); agent.act('accept_task', lambda payload_kg: None, payload_kg=0.8)"
    ),
}


def run(command: list[str | Path], cwd: Path | None = None) -> str:
    """Run a program of ours; gives what it printed."""
    done = subprocess.run(command, cwd=cwd, check=True, capture_output=True, text=True)  # noqa: S603 - our own
    return done.stdout


def fresh_environment(folder: Path) -> Path:
    """Build the wheel, install it alone, and give the environment's interpreter."""
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    run(build, ROOT)
    (wheel,) = folder.glob("*.whl")
    environment = folder / "venv"
    run([sys.executable, "-m", "venv", "--without-pip", str(environment)])
    python = environment / "bin" / "python"
    install = [
        sys.executable,
        "-m",
        "pip",
        "--python",
        str(python),
        "install",
        "-q",
        "--no-index",
        "--no-deps",
    ]
    run([*install, str(wheel)])
    return python


def least_start_s(python: Path, program: str) -> float:
    """Give the least wall time of a whole start."""
    times = []
    for _ in range(STARTS):
        began = perf_counter()
        run([python, "-c", program])
        times.append(perf_counter() - began)
    return min(times)


def told(value: float, bar: float | None, unit: str) -> str:
    verdict = "" if bar is None else f" (bar {bar:g}: {'met' if value <= bar else 'MISSED'})"
    return f"{value:6.1f} {unit}{verdict}"


def base() -> None:
    with tempfile.TemporaryDirectory() as folder:
        python = fresh_environment(Path(folder))
        nothing_s = least_start_s(python, "pass")
        print(f"a bare interpreter starts in {nothing_s * 1e3:.1f} ms")
        for name, program in PROGRAMS.items():
            least_ms = (least_start_s(python, program) - nothing_s) * 1e3
            state = json.loads(run([python, "-c", f"{program}\n{SAY}"]))
            foreign = ", ".join(state["foreign"]) or "none"
            bar_ms = BAR_MS if name != DECIDED else None
            print(f"{name:34s} {told(least_ms, bar_ms, 'ms')}, {told(state['rss_mb'], BAR_MB, 'MB')}, "
                  f"third-party modules: {foreign}")  # fmt: skip


def cost_us(agent: Agent) -> float:
    """Give the least mean time of a governed call, in microseconds."""
    best = float("inf")
    for _ in range(5):
        began = perf_counter_ns()
        for _ in range(CALLS // 5):
            agent.act("accept_task", int, payload_kg=0.8)
        best = min(best, (perf_counter_ns() - began) / (CALLS // 5) / 1e3)
    return best


def hooks() -> None:
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.metrics.export import InMemoryMetricReader
    from opentelemetry.sdk.trace import TracerProvider

    from ripstop.hooks import log_to_structlog, trace_agent

    def agent() -> Agent:
        made = Agent("drone-1", POLICY)
        made.observe(battery_percent=26.0)
        return made

    never, traced = agent(), agent()
    print(f"a governed call, no hook was ever set:       {cost_us(never):7.2f} us")
    with log_to_structlog():
        print(
            f"  ... events go to structlog:                {cost_us(never):7.2f} us (a call tells no event)"
        )
    with trace_agent(traced):
        print(f"  ... traced, no SDK configured:             {cost_us(traced):7.2f} us")
    print(f"  ... after the hook was removed:            {cost_us(traced):7.2f} us")
    print(f"  ... another agent, while none is traced:   {cost_us(never):7.2f} us")
    meters = MeterProvider([InMemoryMetricReader()])
    with trace_agent(traced, tracer_provider=TracerProvider(), meter_provider=meters):
        print(f"  ... traced, spans and metrics recorded:    {cost_us(traced):7.2f} us")
    meters.shutdown()


def main() -> None:
    base()
    hooks()


if __name__ == "__main__":
    main()

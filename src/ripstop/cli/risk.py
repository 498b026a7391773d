"""`ripstop risk`: rank a graph's nodes by how likely their failure is to cascade."""

from __future__ import annotations

import argparse
import contextlib
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ripstop.cli.arguments import (
    add_command,
    add_json,
    add_top,
    add_verbs,
    source,
)
from ripstop.cli.output import counted, print_json, print_notes, print_table, printable

if TYPE_CHECKING:
    from ripstop.cli.root import Subparsers
    from ripstop.risk import Graph, Job, RiskReport

_EPILOG = """examples:
  ripstop risk examples/fleet.json
  ripstop risk examples/fleet.json --theta 0.2 --trials 10000 --expected --top 10
  ripstop risk examples/fleet.json --threshold 0.3 --json
  ripstop risk examples/fleet.json --trials 100000 --budget 2
  ripstop risk examples/fleet.json --model load --tolerance 0.3
  ripstop risk examples/fleet.json --why hub drone-7
  ripstop risk examples/fleet.json --plot fleet.png
  ripstop risk examples/fleet.json --rare drone-6 --theta 0.8
  ripstop risk examples/fleet.json --trials 1000000 --queue nats://127.0.0.1:4222

A graph is {"directed": false, "nodes": [...], "edges": [["a", "b", 0.4], ...]}; the form that networkx's
node_link_data gives is read too. A weight is the probability that a failure at one end causes one at the
other.

exit codes: 0 fine, 1 a node lies above --threshold, 2 usage or no answer
"""


# what `--rare` and `--why`, which answer in another way, have no use for
_ASIDE = (
    "trials", "confidence", "threshold", "fleet_wide", "expected", "tolerance", "spread", "workers", "queue",
    "budget", "plot",
)  # fmt: skip

VERBS = ("rank", "whatif", "learn", "grid", "stability", "worker")


def add_parser(subparsers: Subparsers) -> None:
    """Add the command to the root parser: `ripstop risk GRAPH` is short for `ripstop risk rank GRAPH`."""
    from ripstop.cli import riskgrid, risklearn, riskstability, riskwhatif, riskworker

    parser = add_command(
        subparsers,
        "risk",
        "rank a graph's nodes by how likely their failure is to cascade",
        _EPILOG,
        "Cascade risk of a graph: ranking, remedies, and weights learned from incidents.",
    )
    plain = parser.parse_known_args

    def parse_known_args(args: list[str], namespace: object = None) -> object:
        words = list(args)
        if words and words[0] not in (*VERBS, "-h", "--help"):
            words.insert(0, "rank")
        return plain(words, namespace)

    parser.parse_known_args = parse_known_args  # type: ignore[method-assign, assignment]  # the short form
    verbs = add_verbs(parser)
    _add_rank(verbs)
    riskwhatif.add_parser(verbs)
    risklearn.add_parser(verbs)
    riskgrid.add_parser(verbs)
    riskstability.add_parser(verbs)
    riskworker.add_parser(verbs)


def _add_rank(verbs: Subparsers) -> None:
    parser = add_command(
        verbs,
        "rank",
        "rank the nodes; the word `rank` may be left out",
        _EPILOG,
        "Estimate for every node the probability that its failure brings down more than THETA.",
    )
    add_question(parser)
    parser.add_argument("--confidence", type=float, default=0.95, help="of each interval (default 0.95)")
    parser.add_argument(
        "--threshold", type=float, help="decide each node against this probability, and stop once settled"
    )
    parser.add_argument(
        "--fleet-wide", action="store_true", help="widen the intervals so that all hold together"
    )
    parser.add_argument("--expected", action="store_true", help="give the expected share failed too")
    parser.add_argument(
        "--tolerance", type=float, default=0.2, help="model load: spare capacity (default 0.2)"
    )
    parser.add_argument("--spread", type=float, default=0.1, help="model load: its deviation (default 0.1)")
    parser.add_argument(
        "--workers", type=int, default=1, help="threads; the result stays the same (default 1)"
    )
    parser.add_argument(
        "--queue", metavar="URL", help="have worlds counted by `ripstop risk worker`s at a NATS server"
    )
    parser.add_argument(
        "--budget",
        type=float,
        metavar="SECONDS",
        help="give the best answer within this time, from at most --trials worlds",
    )
    add_top(parser, "lines")
    parser.add_argument("--why", nargs=2, metavar=("FROM", "TO"), help="explain one edge's weight instead")
    parser.add_argument("--rare", metavar="NODE", help="estimate one node's tiny probability instead")
    parser.add_argument(
        "--plot", metavar="FILE", help="draw ranking, cascade sizes and graph (png, svg, pdf)"
    )
    add_json(parser, "nodes: [node, probability, low, high], theta, trials, seed, notes, ...")
    parser.set_defaults(func=run, plain={name: parser.get_default(name) for name in _ASIDE})


def add_question(parser: argparse.ArgumentParser) -> None:
    """Add what every question about a graph has: the graph, theta, trials, seed and model."""
    parser.add_argument(
        "graph", type=source, metavar="GRAPH", help="the risk graph: .json, .csv or .graphml; - for stdin"
    )
    parser.add_argument(
        "--theta", type=float, default=0.5, help="share failed that counts as a cascade (default 0.5)"
    )
    parser.add_argument("--trials", type=int, default=1000, help="sampled worlds (default 1000)")
    parser.add_argument(
        "--seed", type=int, default=0, help="the same seed gives the same figures (default 0)"
    )
    parser.add_argument("--model", default="percolation", help="percolation (default), threshold or load")


def run(args: argparse.Namespace) -> int:
    """Assess the graph and print the ranking."""
    from ripstop.risk import Job, RiskInputError, Settings, assess, read_graph

    graph = read_graph(args.graph)
    _refuse_aside(args)
    if args.why:
        return _explain(graph, args)
    if args.rare:
        return _print_rare(graph, args)
    for option in ("threshold", "queue"):
        if args.budget is not None and getattr(args, option) is not None:
            raise RiskInputError(
                f"`--budget` goes without `--{option}`", code="C0715", hint="give one of the two"
            )
    settings = Settings(
        confidence=args.confidence,
        threshold=args.threshold,
        fleet_wide=args.fleet_wide,
        expected=args.expected,
        workers=args.workers,
        tolerance=args.tolerance,
        spread=args.spread,
    )
    with contextlib.ExitStack() as stack:
        if args.queue:
            from ripstop.control.riskqueue import NatsQueue

            settings = replace(settings, pool=stack.enter_context(NatsQueue(args.queue)))
        question: dict[str, Any] = {
            "theta": args.theta,
            "seed": args.seed,
            "model": args.model,
            "settings": settings,
        }
        if args.budget is None:
            report = assess(graph, trials=args.trials, **question)
        else:
            report = _within(Job(graph, **question), args)
    if args.plot:
        from ripstop.risk.plots import plot_report

        plot_report(report, graph, args.plot, settings=settings)
    if args.json:
        print_json(report.to_json())
    else:
        _print_ranking(report, graph, args.top)
    return 1 if any(s.value == "above" for s in report.standing or ()) else 0


def _refuse_aside(args: argparse.Namespace) -> None:
    """Refuse options that would be ignored, rather than answer as if they had been heeded."""
    from ripstop.risk import RiskInputError

    instead = next((word for word in ("why", "rare") if getattr(args, word)), None)
    wrong = next((name for name in _ASIDE if getattr(args, name) != args.plain[name]), None)
    if instead is not None and wrong is not None:
        option = wrong.replace("_", "-")
        raise RiskInputError(
            f"`--{instead}` goes without `--{option}`", code="C0715", hint="give one of the two"
        )


def _within(job: Job, args: argparse.Namespace) -> RiskReport:
    from ripstop.core.clock import SystemClock
    from ripstop.risk import Budget, Graph, answer_within, assess

    budget = Budget(args.trials, args.budget)
    one = Graph.from_edges("ab", [("a", "b")], [0.5], directed=job.graph.directed)
    assess(one, trials=1, model=job.model)  # the kernels are loaded before the clock starts
    return answer_within(job, budget, clock=SystemClock())


def named(graph: Graph, word: str) -> str | int:
    """Take a word as the name it stands for: node names in a file may be whole numbers."""
    if word in graph.position:
        return word
    try:
        number = int(word)
    except ValueError:
        return word
    return number if number in graph.position else word


def _explain(graph: Graph, args: argparse.Namespace) -> int:
    start, end = (named(graph, word) for word in args.why)
    causes = graph.why(start, end)
    total = float(graph.weight[graph.edge(start, end)])
    if args.json:
        channels = {cause.channel: cause.probability for cause in causes}
        print_json({"source": start, "target": end, "weight": total, "channels": channels})
        return 0
    print(f"{printable(start)} -> {printable(end)}: {total:.4g} = 1 - product of (1 - p) over")
    for cause in causes:
        print(f"  {printable(cause.channel)}  {cause.probability:.4g}")
    return 0


def _print_rare(graph: Graph, args: argparse.Namespace) -> int:
    from ripstop.risk import RiskInputError, rare_probability

    if args.model != "percolation":
        raise RiskInputError(
            f"`--rare` goes by percolation alone, got `--model {args.model}`",
            code="C0714",
            hint="count with more `--trials` instead",
        )
    found = rare_probability(graph, named(graph, args.rare), theta=args.theta, seed=args.seed)
    if args.json:
        print_json({name: getattr(found, name) for name in type(found).__slots__})
        return 0
    print(
        f"{printable(found.node)}: P(share > {found.theta:g}) = {found.probability:.3g} "
        f"({found.low:.3g} .. {found.high:.3g} at 95 %), split at {counted(len(found.levels), 'level')}, "
        f"{found.particles} particles"
    )
    return 0


def _print_ranking(report: RiskReport, graph: Graph, top: int) -> None:
    lines = report.ranking(top or None)
    percent = f"{100 * report.confidence:g} %"
    header = ["#", "node", f"P(share > {report.theta:g})", f"{percent} interval"]
    rows = [
        [str(i), printable(line.node), f"{line.probability:.4f}", f"{line.low:.4f} .. {line.high:.4f}"]
        for i, line in enumerate(lines, 1)
    ]
    if report.expected_share is not None:
        header += ["expected share", f"its {percent} interval"]
        for row, line in zip(rows, lines, strict=True):
            row += [f"{line.expected_share:.4f}", f"{line.share_low:.4f} .. {line.share_high:.4f}"]
    if report.standing is not None:
        header.append(f"against {report.threshold:g}")
        for row, line in zip(rows, lines, strict=True):
            row.append("" if line.standing is None else line.standing.value)
    links = f"{counted(len(graph.source), 'edge')} ({'one way' if graph.directed else 'both ways'})"
    facts = f"{report.model}, {counted(len(report), 'node')}, {links}, {report.trials} trials"
    print_table(f"if the node fails: {facts}, seed {report.seed}", header, rows)
    print_notes(report.notes, len(lines), len(report))

"""`ripstop risk`: rank a graph's nodes by how likely their failure is to cascade."""

from __future__ import annotations

import argparse
import contextlib
import json
from dataclasses import replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ripstop.cli.root import Subparsers
    from ripstop.risk import Graph, RiskReport

_EPILOG = """examples:
  ripstop risk fleet.json
  ripstop risk fleet.json --theta 0.2 --trials 10000 --expected --top 10
  ripstop risk fleet.json --threshold 0.3 --json
  ripstop risk fleet.json --trials 100000 --budget 2
  ripstop risk grid.json --model load --tolerance 0.3
  ripstop risk fleet.csv --why drone-7 drone-12
  ripstop risk fleet.json --plot fleet.png
  ripstop risk fleet.json --rare drone-7 --theta 0.8
  ripstop risk whatif fleet.json --isolate hub
  ripstop risk learn incidents.jsonl
  ripstop risk stability grid.json
  ripstop risk fleet.json --trials 1000000 --queue nats://127.0.0.1:4222

A graph is {"directed": false, "nodes": [...], "edges": [["a", "b", 0.4], ...]}; the form that networkx's
node_link_data gives is read too. A weight is the probability that a failure at one end causes one at the
other.

exit codes: 0 fine, 1 a node lies above --threshold, 2 usage
"""


VERBS = ("rank", "whatif", "learn", "stability", "worker")


def add_parser(subparsers: Subparsers) -> None:
    """Add the command to the root parser: `ripstop risk GRAPH` is short for `ripstop risk rank GRAPH`."""
    from ripstop.cli import risklearn, riskstability, riskwhatif, riskworker

    parser = subparsers.add_parser(
        "risk",
        help="rank a graph's nodes by how likely their failure is to cascade",
        description="Cascade risk of a graph: ranking, remedies, and weights learned from incidents.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    plain = parser.parse_known_args

    def parse_known_args(args: list[str], namespace: object = None) -> object:
        words = list(args)
        if words and words[0] not in (*VERBS, "-h", "--help"):
            words.insert(0, "rank")
        return plain(words, namespace)

    parser.parse_known_args = parse_known_args  # type: ignore[method-assign, assignment]  # the short form
    verbs = parser.add_subparsers(title="verbs", metavar="VERB")
    _add_rank(verbs)
    riskwhatif.add_parser(verbs)
    risklearn.add_parser(verbs)
    riskstability.add_parser(verbs)
    riskworker.add_parser(verbs)


def _add_rank(verbs: Subparsers) -> None:
    parser = verbs.add_parser(
        "rank",
        help="rank the nodes; the verb may be left out",
        description="Estimate for every node the probability that its failure brings down more than THETA.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
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
    parser.add_argument("--top", type=int, default=20, help="lines shown, 0 for all (default 20)")
    parser.add_argument("--why", nargs=2, metavar=("FROM", "TO"), help="explain one edge's weight instead")
    parser.add_argument("--rare", metavar="NODE", help="estimate one node's tiny probability instead")
    parser.add_argument(
        "--plot", metavar="FILE", help="draw ranking, cascade sizes and graph (png, svg, pdf)"
    )
    parser.add_argument("--json", action="store_true", help="print the whole report as JSON")
    parser.set_defaults(func=run)


def add_question(parser: argparse.ArgumentParser) -> None:
    """Add what every question about a graph has: the graph, theta, trials, seed and model."""
    parser.add_argument("graph", metavar="GRAPH", help="the risk graph: .json, .csv or .graphml")
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
    from ripstop.risk import Settings, assess, read_graph

    graph = read_graph(args.graph)
    if args.why:
        return _explain(graph, args)
    if args.rare:
        return _print_rare(graph, args)
    if args.budget is not None:
        return _shown(_within(graph, args), graph, args)
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
        report = assess(
            graph, theta=args.theta, trials=args.trials, seed=args.seed, model=args.model, settings=settings
        )
    return _shown(report, graph, args)


def _within(graph: Graph, args: argparse.Namespace) -> RiskReport:
    from ripstop.core.clock import SystemClock
    from ripstop.risk import Budget, Graph, RiskInputError, assess, assess_within

    given = {"--threshold": args.threshold, "--queue": args.queue, "--expected": args.expected}
    for option, value in given.items():
        if value:
            raise RiskInputError(
                f"`--budget` goes without `{option}`", code="C0715", hint="give one of the two"
            )
    budget = Budget(args.trials, args.budget)
    one = Graph.from_edges("ab", [("a", "b")], [0.5], directed=graph.directed)
    assess(one, trials=1, model=args.model)  # the kernels are loaded before the clock starts
    question = {"theta": args.theta, "seed": args.seed, "model": args.model}
    return assess_within(graph, budget, clock=SystemClock(), **question)


def _shown(report: RiskReport, graph: Graph, args: argparse.Namespace) -> int:
    if args.plot:
        from ripstop.risk.plots import plot_report

        plot_report(report, graph, args.plot)
    if args.json:
        print(json.dumps(report.to_json(), indent=2, ensure_ascii=False))
    else:
        _print_ranking(report, args.top)
    return 1 if any(s.value == "above" for s in report.standing or ()) else 0


def named(graph: Graph, word: str) -> str | int:
    """Take a word as the name it stands for: node names in a file may be whole numbers."""
    if word not in graph.position and word.lstrip("-").isdecimal() and int(word) in graph.position:
        return int(word)
    return word


def _explain(graph: Graph, args: argparse.Namespace) -> int:
    source, target = (named(graph, word) for word in args.why)
    causes = graph.why(source, target)
    total = float(graph.weight[graph.edge(source, target)])
    if args.json:
        channels = {cause.channel: cause.probability for cause in causes}
        print(json.dumps({"source": source, "target": target, "weight": total, "channels": channels}))
        return 0
    print(f"{source} -> {target}: {total:.4g} = 1 - product of (1 - p) over")
    for cause in causes:
        print(f"  {cause.channel}  {cause.probability:.4g}")
    return 0


def _print_rare(graph: Graph, args: argparse.Namespace) -> int:
    from ripstop.risk import rare_probability

    found = rare_probability(graph, named(graph, args.rare), theta=args.theta, seed=args.seed)
    if args.json:
        print(json.dumps({name: getattr(found, name) for name in type(found).__slots__}, indent=2))
        return 0
    print(
        f"{printable(found.node)}: P(share > {found.theta:g}) = {found.probability:.3g} "
        f"({found.low:.3g} .. {found.high:.3g} at 95 %), split at {len(found.levels)} level(s), "
        f"{found.particles} particles"
    )
    return 0


def _print_ranking(report: RiskReport, top: int) -> None:
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
    facts = f"{report.model}, {len(report)} nodes, {report.trials} trials, seed {report.seed}"
    print_table(facts, header, rows)
    for note in report.notes:
        print(f"note: {note}")
    if len(lines) < len(report):
        print(f"{len(report) - len(lines)} more: --top 0 shows all")


def printable(node: object) -> str:
    """Give a name as a terminal may show it."""
    text = str(node)
    return text if text.isprintable() else ascii(text)


def print_table(title: str, header: list[str], rows: list[list[str]]) -> None:
    """Print a table: with rich where it is installed; the second column is text."""
    try:
        from rich.console import Console
        from rich.table import Table
    except ModuleNotFoundError:
        _print_plain(title, header, rows)
        return
    table = Table(title=title, title_justify="left")
    for i, name in enumerate(header):
        table.add_column(name, justify="left" if i == 1 else "right")
    for row in rows:
        table.add_row(*row)
    Console(highlight=False, markup=False).print(table)


def _print_plain(title: str, header: list[str], rows: list[list[str]]) -> None:
    widths = [max(len(row[i]) for row in [header, *rows]) for i in range(len(header))]
    print(title)
    for row in [header, *rows]:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())

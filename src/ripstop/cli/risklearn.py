"""`ripstop risk learn`: edge weights from a log of incidents."""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ripstop.cli.arguments import add_command, add_json, add_top, source
from ripstop.cli.output import counted, print_json, print_notes, print_table, printable

if TYPE_CHECKING:
    from ripstop.cli.root import Subparsers
    from ripstop.risk import Calibration, Graph, Incident, Learned

_EPILOG = """examples:
  ripstop risk learn examples/incidents.jsonl
  ripstop risk learn examples/incidents.jsonl --graph examples/fleet.json --out learned.json
  ripstop risk learn examples/incidents.jsonl --held-out 0.3 --plot reliability.png --json

A log holds one incident a line: {"failures": {"a": 0, "b": 12.5}, "causes": {"b": "a"}}. Times are in any
unit; causes may be left out. The last incidents are held out to see how well the weights predict.

exit codes: 0 fine, 2 usage
"""


def add_parser(verbs: Subparsers) -> None:
    """Add the verb to `ripstop risk`."""
    parser = add_command(
        verbs,
        "learn",
        "learn a graph's weights from a log of incidents",
        _EPILOG,
        "Learn edge weights from incidents, and check them on incidents held out.",
    )
    parser.add_argument(
        "log", type=source, metavar="LOG.jsonl", help="one incident a line, as JSON; - for stdin"
    )
    parser.add_argument(
        "--graph", metavar="PRIOR", help="the edges, with prior weights (.json, .csv, .graphml)"
    )
    parser.add_argument("--strength", type=float, default=2.0, help="attempts the prior is worth (default 2)")
    parser.add_argument(
        "--window", type=float, default=math.inf, help="longest time from cause to effect (default: any)"
    )
    parser.add_argument(
        "--held-out", type=float, default=0.25, help="share of incidents held out, 0 for none (default 0.25)"
    )
    parser.add_argument("--out", metavar="FILE", help="write the learned graph (.json, .csv, .graphml)")
    parser.add_argument("--plot", metavar="FILE", help="draw the reliability diagram (png, svg, pdf)")
    add_top(parser, "edges", default=10)
    add_json(
        parser,
        "incidents, nodes, edges, unexplained, rounds, weights: [{source, target, weight, low, high, "
        "attempts}], held_out: {count, brier, auc, ...}",
    )
    parser.set_defaults(func=run)


def _checked(graph: Graph, held_out: Sequence[Incident], window: float) -> Calibration | None:
    from ripstop.risk import RiskInputError, validate

    try:
        return validate(graph, held_out, window=window)
    except RiskInputError as error:
        if error.code != "C0715":
            raise
        return None  # there is nothing to compare


def _weights(learned: Learned) -> list[dict[str, Any]]:
    """List the learned weights with their intervals at 95 %, the heaviest first."""
    from scipy.special import betaincinv

    graph = learned.graph
    low, high = (betaincinv(learned.alpha, learned.beta, at).tolist() for at in (0.025, 0.975))
    columns = (graph.source.tolist(), graph.target.tolist(), graph.weight.tolist(), low, high)
    names = ("source", "target", "weight", "low", "high", "attempts")
    rows = [
        dict(zip(names, (graph.nodes[a], graph.nodes[b], *rest), strict=True))
        for a, b, *rest in zip(*columns, learned.attempts.tolist(), strict=True)
    ]
    return sorted(rows, key=lambda row: -float(row["weight"]))


def _print_weights(weights: list[dict[str, Any]], top: int) -> None:
    if not weights:
        return
    shown = weights[: top or None]
    rows = [
        [
            printable(one["source"]),
            printable(one["target"]),
            f"{one['weight']:.3f}",
            f"{one['low']:.3f} .. {one['high']:.3f}",
            str(one["attempts"]),
        ]
        for one in shown
    ]
    title = "how likely a failure at one end causes one at the other"
    print_table(title, ["from", "to", "weight", "95 % interval", "put to the test"], rows)
    print_notes([], len(shown), len(weights))


def run(args: argparse.Namespace) -> int:
    """Learn, check, and write."""
    from ripstop.risk import learn, read_graph, read_incidents, split_incidents, write_graph

    log = read_incidents(args.log)
    prior = None if args.graph is None else read_graph(args.graph)
    train, held_out = (log, ()) if args.held_out == 0 else split_incidents(log, args.held_out)
    checked = None
    if held_out:
        from ripstop.risk.incidents import seen_nodes

        trained = learn(train, prior, strength=args.strength, window=args.window)
        missing = [node for node in seen_nodes(held_out) if node not in trained.graph.position]
        checked = _checked(trained.graph.with_nodes(missing), held_out, args.window)
    learned = learn(log, prior, strength=args.strength, window=args.window)
    if args.out:
        write_graph(learned.graph, args.out)
    if args.plot and checked is not None:
        from ripstop.risk.plots import plot_calibration

        plot_calibration(checked, args.plot)
    facts = {
        "incidents": learned.incidents,
        "nodes": len(learned.graph.nodes),
        "edges": len(learned.graph.source),
        "unexplained": learned.unexplained,
        "rounds": learned.rounds,
    }
    if args.json:
        print_json(
            facts | {"weights": _weights(learned), "held_out": None if checked is None else checked.to_json()}
        )
        return 0
    print(
        f"{counted(learned.incidents, 'incident')}, {counted(facts['nodes'], 'node')}, "
        f"{counted(facts['edges'], 'edge')}, {counted(learned.unexplained, 'failure')} unexplained, "
        f"{counted(learned.rounds, 'round')}"
    )
    if learned.unexplained:
        before = "before" if math.isinf(args.window) else "within --window before"
        print_notes([f"unexplained: no neighbour had failed {before}; a cause outside, or a missing edge"])
    _print_weights(_weights(learned), args.top)
    if held_out and checked is None:
        print_notes(["nothing held out could be predicted: no node that failed has a neighbour"])
    if checked is not None:
        area = "no ranking" if checked.auc is None else f"area under the curve {checked.auc:.3f}"
        print(
            f"held out {counted(len(held_out), 'incident')}, {counted(checked.count, 'prediction')}: "
            f"Brier {checked.brier:.4f} (base rate alone {checked.reference:.4f}), {area}"
        )
        if not checked.brier < checked.reference:
            print_notes(["the weights predict no better than the base rate; more incidents are needed"])
    if args.out:
        print(f"wrote {args.out}")
    return 0

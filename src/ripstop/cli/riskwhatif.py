"""`ripstop risk whatif`: try remedies on a graph, or search for the cheapest set that is enough."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from ripstop.cli import risk as shared
from ripstop.cli.arguments import add_command, add_json, add_top, whole
from ripstop.cli.output import counted, print_json, print_notes, print_table, printable

if TYPE_CHECKING:
    from ripstop.cli.root import Subparsers
    from ripstop.risk import Chosen, Graph, GraphMitigation, RiskReport

_EPILOG = """examples:
  ripstop risk whatif examples/fleet.json --isolate hub
  ripstop risk whatif examples/fleet.json --cut drone-1 drone-2 --add drone-1 drone-3 0.1
  ripstop risk whatif examples/fleet.json --shed load=0.5 --star hub
  ripstop risk whatif examples/fleet.json --target 0.1 --by cut --max-measures 5
  ripstop risk whatif examples/fleet.json --critical 5 --json

The measures given are one set; it is tried in the same sampled worlds as doing nothing. With --target the
cheapest set of isolations or cuts is searched instead; with --critical the nodes or links that matter most.

exit codes: 0 fine, 1 the target is not reached, 2 usage
"""


def add_parser(verbs: Subparsers) -> None:
    """Add the verb to `ripstop risk`."""
    parser = add_command(
        verbs,
        "whatif",
        "try remedies, or search for the cheapest set that is enough",
        _EPILOG,
        "Try remedies on a risk graph, on common random numbers.",
    )
    shared.add_question(parser)
    pair = ("FROM", "TO")
    parser.add_argument("--isolate", action="append", default=[], metavar="NODE", help="cut a node off")
    parser.add_argument("--cut", action="append", default=[], nargs=2, metavar=pair, help="cut an edge")
    parser.add_argument(
        "--add", action="append", default=[], nargs=3, metavar=(*pair, "WEIGHT"), help="add an edge"
    )
    parser.add_argument(
        "--move", action="append", default=[], nargs=3, metavar=(*pair, "LOAD"), help="move load (model load)"
    )
    parser.add_argument(
        "--shed", action="append", default=[], metavar="CHANNEL=FACTOR", help="weaken a channel everywhere"
    )
    parser.add_argument("--star", metavar="HUB", help="keep no edge but this node's")
    parser.add_argument(
        "--target", type=float, help="search for a set that brings every node to this or under"
    )
    parser.add_argument(
        "--by", choices=("isolate", "cut"), default="isolate", help="what a search may do (default isolate)"
    )
    parser.add_argument("--watch", action="append", metavar="NODE", help="count these nodes' risk only")
    parser.add_argument(
        "--max-measures", type=whole(0), default=10, help="most measures of a search (default 10)"
    )
    parser.add_argument("--critical", type=whole(1), metavar="K", help="name the K nodes that matter most")
    parser.add_argument("--links", action="store_true", help="with --critical: links instead of nodes")
    add_top(parser, "lines")
    add_json(
        parser,
        "model, ..., nodes: [node, before, ...]; --target: reached, measures, ...; --critical: critical",
    )
    parser.set_defaults(func=run)


def run(args: argparse.Namespace) -> int:
    """Try, search or name."""
    from ripstop.risk import read_graph

    _refuse_two_questions(args)
    graph = read_graph(args.graph)
    if args.critical is not None:
        return _name_critical(graph, args)
    if args.target is not None:
        return _search(graph, args)
    return _try(graph, args)


def _refuse_two_questions(args: argparse.Namespace) -> None:
    from ripstop.risk import RiskInputError

    measures = ("isolate", "cut", "add", "move", "shed", "star")
    questions = {
        "--critical": args.critical is not None,
        "--target": args.target is not None,
        "the measures": any(getattr(args, name) for name in measures),
    }
    asked = [name for name, given in questions.items() if given]
    if len(asked) > 1:
        raise RiskInputError(
            f"{asked[0]} and {asked[1]} are two questions, expected one",
            code="C0715",
            hint="ask one after the other",
        )


def _measures(graph: Graph, args: argparse.Namespace) -> GraphMitigation:
    from ripstop.risk import GraphMitigation, RiskInputError

    def known(word: str) -> str | int:
        return shared.named(graph, word)

    shed = {}
    for words in args.shed:
        channel, given, factor = words.rpartition("=")
        if not given:
            raise RiskInputError(f"`--shed` has `{words}`, expected CHANNEL=FACTOR", code="C0715")
        shed[channel] = _number("--shed", factor)
    return GraphMitigation(
        name="the measures",
        isolated=frozenset(known(word) for word in args.isolate),
        cut=frozenset((known(a), known(b)) for a, b in args.cut),
        shed=shed,
        added={(known(a), known(b)): _number("--add", w) for a, b, w in args.add},
        hub=None if args.star is None else known(args.star),
        moved={(known(a), known(b)): _number("--move", x) for a, b, x in args.move},
    )


def _number(option: str, word: str) -> float:
    from ripstop.risk import RiskInputError

    try:
        return float(word)
    except ValueError:
        raise RiskInputError(f"`{option}` has `{word}`, expected a number", code="C0715") from None


def _try(graph: Graph, args: argparse.Namespace) -> int:
    from ripstop.risk import GraphMitigation, RiskInputError, compare_graph

    measures = _measures(graph, args)
    if measures == GraphMitigation(name=measures.name):
        raise RiskInputError(
            "there is nothing to try",
            code="C0715",
            hint="give a measure such as --isolate NODE, or --target",
        )
    nothing, effect = compare_graph(
        graph, [measures], theta=args.theta, trials=args.trials, seed=args.seed, model=args.model
    )
    before = nothing.report
    order = [line.node for line in before.ranking(None)]
    rows = []
    for node in order:
        i = before.place(node)
        change = effect.changes[i]
        rows.append(
            {
                "node": node if isinstance(node, str | int) else str(node),
                "before": float(before.probability[i]),
                "after": float(effect.report.probability[i]),
                "reduction": change.reduction,
                "low": change.low,
                "high": change.high,
            }
        )
    if args.json:
        print_json(_asked(args) | {"nodes": rows})
        return 0
    shown = rows[: args.top or None]
    table = [
        [
            str(k),
            printable(row["node"]),
            f"{row['before']:.4f}",
            f"{row['after']:.4f}",
            f"{row['reduction']:+.4f}",
            f"{row['low']:+.4f} .. {row['high']:+.4f}",
        ]
        for k, row in enumerate(shown, 1)
    ]
    title = f"P(share > {args.theta:g} | the node fails), {_basis(graph, args)}"
    print_table(title, ["#", "node", "before", "after", "reduction", "95 % interval"], table)
    print_notes((), len(shown), len(rows))
    return 0


def _asked(args: argparse.Namespace) -> dict[str, object]:
    return {"model": args.model, "theta": args.theta, "trials": args.trials, "seed": args.seed}


def _basis(graph: Graph, args: argparse.Namespace) -> str:
    """Say what figures rest on."""
    return f"{args.model}, {counted(len(graph.nodes), 'node')}, {args.trials} trials, seed {args.seed}"


def _search(graph: Graph, args: argparse.Namespace) -> int:
    from ripstop.risk import Limits, assess, cheapest, cut_each, isolate_each

    def ask(changed: Graph) -> RiskReport:
        return assess(changed, theta=args.theta, trials=args.trials, seed=args.seed, model=args.model)

    ends = zip(graph.source.tolist(), graph.target.tolist(), strict=True)
    links = [(graph.nodes[a], graph.nodes[b]) for a, b in ends]
    candidates = isolate_each(graph.nodes) if args.by == "isolate" else cut_each(links)
    watched = None if args.watch is None else [shared.named(graph, word) for word in args.watch]
    limits = Limits(measures=args.max_measures)
    chosen = cheapest(graph, candidates, args.target, watched=watched, limits=limits, ask=ask)
    _print_chosen(graph, chosen, args)
    return 0 if chosen.reached else 1


def _print_chosen(graph: Graph, chosen: Chosen, args: argparse.Namespace) -> None:
    from ripstop.risk import clopper_pearson

    if args.json:
        facts = {
            "target": args.target,
            "reached": chosen.reached,
            "risk": chosen.risk,
            "cost": chosen.cost,
            "measures": [measure.name for measure in chosen.measures],
            "evaluations": chosen.evaluations,
        }
        print_json(_asked(args) | facts)
        return
    verdict = "reached" if chosen.reached else "not reached"
    if chosen.reached and not chosen.measures:
        verdict = "holds already"
    print(f"target {args.target:g} {verdict}: the largest upper end of an interval is {chosen.risk:.4f}")
    print(f"P(share > {args.theta:g}) at {100 * chosen.report.confidence:g} %, {_basis(graph, args)}")
    for measure in chosen.measures:
        print(f"  {printable(measure.name)}")
    print(f"{counted(len(chosen.measures), 'measure')}, {counted(chosen.evaluations, 'set')} tried")
    finest = float(clopper_pearson(0, args.trials)[1])
    if args.target < finest:
        more = ": give more --trials" if args.target > 0 else ", and with none at 0"
        print_notes([f"with {args.trials} trials no interval ends below {finest:.2g}{more}"])


def _name_critical(graph: Graph, args: argparse.Namespace) -> int:
    from ripstop.risk import Job, critical_for

    job = Job(graph, args.theta, args.seed, args.model)
    found = critical_for(job, args.critical, links=args.links, trials=args.trials)
    names = [" - ".join(map(str, c.name)) if isinstance(c.name, tuple) else str(c.name) for c in found]
    if args.json:
        rows = [
            {"name": name, "loss": c.loss, "saved": c.saved} for name, c in zip(names, found, strict=True)
        ]
        print_json(_asked(args) | {"critical": rows})
        return 0
    table = [
        [str(k), printable(name), f"{c.saved:.4f}", f"{c.loss:.4f}"]
        for k, (name, c) in enumerate(zip(names, found, strict=True), 1)
    ]
    what = "link" if args.links else "node"
    print_table(
        f"what matters most, {_basis(graph, args)}",
        ["#", what, "mean share saved", "mean share lost then"],
        table,
    )
    return 0

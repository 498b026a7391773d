"""Risk graphs as CSV tables of edges and as GraphML.

A CSV file has a header with `source` and `target`, and a column for each channel (one named `weight`, or
several names). Its edges are directed, unless a column `directed` says `false` in every row. GraphML is read
and written by networkx: numeric edge attributes besides `weight` are channels, `weight` is one where it is
alone.
"""

from __future__ import annotations

import csv
import io
import math

import numpy as np

from ripstop.core.errors import Place, missing_extra
from ripstop.risk.errors import RiskInputError
from ripstop.risk.graph import WEIGHT, Graph

ENDS = ("source", "target")
DIRECTED = "directed"


def parse_csv(text: str, name: str = "") -> Graph:
    """Read a graph from a table of edges; `name` says in errors where it came from.

    Raises:
        RiskInputError: C0701 for a table that is none, C0702 to C0705 for what is in it.
    """
    try:
        rows = [row for row in csv.reader(io.StringIO(text), strict=True) if row]
    except csv.Error as error:
        raise _refused(name, 1, f"not CSV: {error}") from None
    header = [cell.strip() for cell in rows[0]] if rows else []
    channels = [cell for cell in header if cell not in (*ENDS, DIRECTED)]
    if len(set(header)) != len(header) or not set(ENDS) <= set(header) or not channels:
        raise _refused(name, 1, "expected a header with `source`, `target` and `weight`, each once")
    ends: list[tuple[str, str]] = []
    weights: dict[str, list[float]] = {channel: [] for channel in channels}
    ways: set[str] = set()
    for number, row in enumerate(rows[1:], 2):
        if len(row) != len(header):
            raise _refused(name, number, f"row {number} has {len(row)} cells, expected {len(header)}")
        cells = dict(zip(header, (cell.strip() for cell in row), strict=True))
        ends.append((cells["source"], cells["target"]))
        ways.add(cells.get(DIRECTED, "true").lower())
        for channel in channels:
            weights[channel].append(_number(cells[channel]))
    if not ways <= {"true"} and ways != {"false"}:
        raise _refused(name, 1, "expected `directed` to be true in every row, or false in every row")
    if len(set(ends)) != len(ends):
        twice = next(pair for i, pair in enumerate(ends) if pair in ends[:i])
        raise RiskInputError(f"edge `{twice[0]}` to `{twice[1]}` stands twice", code="C0705")
    nodes = dict.fromkeys(end for pair in ends for end in pair)
    arrays = {channel: np.array(values, np.float64) for channel, values in weights.items()}
    return Graph.from_edges(nodes, ends, arrays, directed=ways != {"false"})


def graph_to_csv(graph: Graph) -> str:
    """Give a graph's edges as a table that `parse_csv` reads back; node names become text."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow([*ENDS, DIRECTED, *graph.channels])
    way = "true" if graph.directed else "false"
    for e, (a, b) in enumerate(zip(graph.source.tolist(), graph.target.tolist(), strict=True)):
        parts = [repr(float(p[e])) for p in graph.channels.values()]
        writer.writerow([str(graph.nodes[a]), str(graph.nodes[b]), way, *parts])
    return out.getvalue()


def parse_graphml(text: str, name: str = "") -> Graph:
    """Read a graph from GraphML.

    Raises:
        RiskInputError: C0701 for text that is no GraphML, C0702 to C0706 for what is in it.
    """
    try:
        import networkx as nx
    except ModuleNotFoundError as error:
        raise missing_extra(error.name or "networkx", "graphs") from error
    try:
        source = nx.parse_graphml(text)
    except Exception as error:  # noqa: BLE001 - what networkx raises on bad files has no common class
        raise _refused(name, 1, f"not GraphML: {str(error).lower() or 'cannot be read'}") from None
    found: dict[str, None] = {}
    for _, _, attributes in source.edges(data=True):
        for key, value in attributes.items():
            if isinstance(value, int | float) and not isinstance(value, bool):
                found[key] = None
    channels = [key for key in found if key not in (WEIGHT, "id")] or [WEIGHT]
    return Graph.from_networkx(source, weight=channels)


def graph_to_graphml(graph: Graph) -> str:
    """Give a graph as GraphML that `parse_graphml` reads back."""
    try:
        import networkx as nx
    except ModuleNotFoundError as error:
        raise missing_extra(error.name or "networkx", "graphs") from error
    return "\n".join(nx.generate_graphml(graph.to_networkx()))


def _number(cell: str) -> float:
    try:
        return float(cell)
    except ValueError:
        return math.nan


def _refused(name: str, line: int, why: str) -> RiskInputError:
    return RiskInputError(why, code="C0701", place=Place(name, line, 1) if name else None)

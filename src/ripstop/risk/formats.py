"""Risk graphs as CSV tables of edges and as GraphML.

A CSV file has a header with `source` and `target`, and a column for each channel (one named `weight`, or
several names). Its edges are directed, unless a column `directed` says `false`, or one `type` says
`undirected`, in every row. Capitals in `Source`, `Target`, `Type` and `Weight`, and the columns `Id`, `Label`
and `timeset` beside them, are Gephi's; those three say nothing. GraphML is read and written by networkx:
`weight` is the channel, or numeric attributes besides it are where it is missing or is what they combine to.
Nodes go by their `name` (igraph) or `label` (Gephi), where each has one of its own.
"""

from __future__ import annotations

import csv
import io
import math
import re
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from ripstop.core.errors import Place, missing_extra
from ripstop.risk.errors import RiskInputError
from ripstop.risk.graph import WEIGHT, Graph
from ripstop.risk.inputs import no_probability

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

    import networkx as nx

ENDS = ("source", "target")
DIRECTED, TYPE = "directed", "type"
KNOWN = (*ENDS, DIRECTED, TYPE, WEIGHT)
SILENT = ("id", "label", "timeset")  # columns of Gephi's that say nothing of an edge
CLOSE = 1e-9  # of a weight to what its channels combine to
NAMES = ("name", "label")  # of a node in GraphML
NO_XML = re.compile(
    "[^\\t\\n\\x20-\\ud7ff\\ue000-\\ufffd\\U00010000-\\U0010ffff]"
)  # XML 1.0, 2.2, less the \\r it drops


def parse_csv(text: str, name: str = "") -> Graph:
    """Read a graph from a table of edges; `name` says in errors where it came from.

    Raises:
        RiskInputError: C0701 for a table that is none, C0702 to C0705 for what is in it.
    """
    try:
        reader = csv.reader(io.StringIO(text, newline=""), strict=True)
        rows = [(reader.line_num, row) for row in reader if row]
    except csv.Error as error:
        raise _refused(name, reader.line_num, f"not CSV: {error}") from None
    header = [_column(cell.strip()) for cell in rows[0][1]] if rows else []
    silent = SILENT if TYPE in header else ()
    channels = [cell for cell in header if cell not in (*ENDS, DIRECTED, TYPE, *silent)]
    if len(set(header)) != len(header) or not set(ENDS) <= set(header) or not channels:
        hint = "separate cells by commas" if len(header) == 1 else ""
        raise _refused(name, 1, "expected a header with `source`, `target` and `weight`, each once", hint)
    ends: list[tuple[str, str]] = []
    weights: dict[str, list[float]] = {channel: [] for channel in channels}
    ways: set[str] = set()
    for number, row in rows[1:]:
        if len(row) != len(header):
            raise _refused(name, number, f"{len(row)} cells, expected {len(header)}")
        cells = dict(zip(header, (cell.strip() for cell in row), strict=True))
        ends.append((cells["source"], cells["target"]))
        ways.add(_way(cells))
        for channel in channels:
            weights[channel].append(_weight(cells, channel, Place(name, number, 1) if name else None))
    if not ways <= {"true"} and ways != {"false"}:
        raise _refused(name, 1, "expected `directed` to be true in every row, or false in every row")
    pairs = [(min(pair), max(pair)) for pair in ends] if ways == {"false"} else ends
    if len(set(pairs)) != len(pairs):
        twice = Counter(pairs).most_common(1)[0][0]
        raise RiskInputError(f"edge `{twice[0]}` to `{twice[1]}` stands twice", code="C0705")
    nodes = dict.fromkeys(end for pair in ends for end in pair)
    arrays = {channel: np.array(values, np.float64) for channel, values in weights.items()}
    return Graph.from_edges(nodes, ends, arrays, directed=ways != {"false"})


def graph_to_csv(graph: Graph) -> str:
    """Give a graph's edges as a table that `parse_csv` reads back; node names become text."""
    names = text_names(graph)
    reserved = [name for name in graph.channels if _column(name) in (*ENDS, DIRECTED, TYPE, *SILENT)]
    if reserved or any(text != text.strip() or "\r" in text for text in (*names, *graph.channels)):
        spaced = "a name that begins or ends with a space, or has a carriage return"
        what = f"a channel `{reserved[0]}`" if reserved else spaced
        raise RiskInputError(f"CSV cannot hold {what}", code="C0702", hint="write JSON")
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow([*ENDS, DIRECTED, *graph.channels])
    way = "true" if graph.directed else "false"
    for e, (a, b) in enumerate(zip(graph.source.tolist(), graph.target.tolist(), strict=True)):
        parts = [repr(float(p[e])) for p in graph.channels.values()]
        writer.writerow([names[a], names[b], way, *parts])
    return out.getvalue()


def text_names(graph: Graph) -> list[str]:
    """Give the nodes' names as text, which is all that most files hold.

    Raises:
        RiskInputError: C0702, where two would read alike.
    """
    names = [str(node) for node in graph.nodes]
    if len(set(names)) != len(names):
        twice = Counter(names).most_common(1)[0][0]
        raise RiskInputError(
            f"two nodes read `{twice}` once they are text", code="C0702", hint="give them names that differ"
        )
    return names


def parse_graphml(text: str, name: str = "") -> Graph:
    """Read a graph from GraphML.

    Raises:
        RiskInputError: C0701 for text that is no GraphML, C0702 to C0706 for what is in it.
    """
    try:
        from networkx.readwrite.graphml import GraphMLReader
    except ModuleNotFoundError as error:
        raise missing_extra(error.name or "networkx", "graphs") from error
    reader = GraphMLReader()
    try:
        source = next(reader(string=text.replace("<graphml>", f'<graphml xmlns="{reader.NS_GRAPHML}">')))
    except StopIteration:
        raise _refused(name, 1, "not GraphML: it holds no graph") from None
    except Exception as error:  # noqa: BLE001 - what networkx raises on bad files has no common class
        raise _refused(name, 1, f"not GraphML: {str(error).lower() or 'cannot be read'}") from None
    _refuse_undeclared(reader.xml, name)
    try:
        return Graph.from_networkx(_renamed(source), weight=_channels(source))
    except RiskInputError as error:
        error.place = Place(name, 1, 1) if name else None
        raise


def graph_to_graphml(graph: Graph) -> str:
    """Give a graph as GraphML that `parse_graphml` reads back."""
    try:
        import networkx as nx
    except ModuleNotFoundError as error:
        raise missing_extra(error.name or "networkx", "graphs") from error
    named = replace(graph, nodes=tuple(text_names(graph)))
    unfit = next((str(name) for name in (*named.nodes, *graph.channels) if NO_XML.search(str(name))), None)
    if unfit is not None:
        raise RiskInputError(f"GraphML cannot hold the name {unfit!a}", code="C0702", hint="write JSON")
    return "\n".join(nx.generate_graphml(named.to_networkx()))


def _column(cell: str) -> str:
    return cell.lower() if cell.lower() in (*KNOWN, *SILENT) else cell


def _way(cells: dict[str, str]) -> str:
    if DIRECTED in cells:
        return cells[DIRECTED].lower()
    ways = {"undirected": "false", "directed": "true"}
    kind = cells.get(TYPE, "directed").lower()
    return ways.get(kind, kind)


def _weight(cells: dict[str, str], channel: str, place: Place | None) -> float:
    try:
        value = float(cells[channel])
    except ValueError:
        value = math.nan
    if 0.0 <= value <= 1.0:
        return value
    raise no_probability((cells["source"], cells["target"]), channel, f"`{cells[channel]}`", place)


def _channels(source: nx.Graph) -> list[str]:
    """Tell which attributes of the edges are probabilities of causes, and which just stand beside one."""
    edges = [attributes for _, _, attributes in source.edges(data=True)]
    found = dict.fromkeys(key for row in edges for key, value in row.items() if _is_number(value))
    others = [key for key in found if key not in (WEIGHT, "id")]
    if not others or WEIGHT not in found:
        return others or [WEIGHT]
    for row in edges:
        parts = [row.get(key, 0.0) for key in others]
        combined = 1.0 - math.prod(1.0 - part for part in parts if _is_number(part))
        if not _is_number(row.get(WEIGHT)) or abs(row[WEIGHT] - combined) > CLOSE:
            return [WEIGHT]
    return others


def _refuse_undeclared(root: Element, name: str) -> None:
    """Refuse an edge to a node that the file does not declare: networkx adds it in silence."""
    declared = {node.get("id") for node in root.iterfind(".//{*}node")}
    for edge in root.iterfind(".//{*}edge"):
        for end in ENDS:
            if edge.get(end) not in declared:
                raise RiskInputError(
                    f"edge `{edge.get('source')}` to `{edge.get('target')}` ends at `{edge.get(end)}`, "
                    "which is no node of the file",
                    code="C0702",
                    place=Place(name, 1, 1) if name else None,
                )


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _renamed(source: nx.Graph) -> nx.Graph:
    import networkx as nx

    for key in NAMES:
        names = {node: value for node, value in source.nodes(data=key) if isinstance(value, str) and value}
        if names and len(names) == len(set(names.values())) == len(source):
            return nx.relabel_nodes(source, names)
    return source


def _refused(name: str, line: int, why: str, hint: str = "") -> RiskInputError:
    return RiskInputError(why, code="C0701", place=Place(name, line, 1) if name else None, hint=hint)

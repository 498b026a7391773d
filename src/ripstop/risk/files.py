"""Risk graphs in files. JSON is the node-link form that networkx writes, or edges as short triples.

```json
{"directed": true,
 "nodes": ["hub", {"id": "drone-1", "consequence": 2}],
 "edges": [["hub", "drone-1", 0.4],
           {"source": "drone-1", "target": "hub", "channels": {"load": 0.3, "radio": 0.1}}]}
```

`nodes` may be left out: then the edges' ends are the nodes, in order of appearance.
"""

from __future__ import annotations

import json
from collections.abc import Hashable, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ripstop.core.errors import Place
from ripstop.risk.errors import RiskInputError
from ripstop.risk.formats import graph_to_csv, graph_to_graphml, parse_csv, parse_graphml, text_names
from ripstop.risk.graph import GRAPH, WEIGHT, Graph
from ripstop.risk.inputs import QUANTITIES, refuse_misspelt
from ripstop.risk.kinds import takes
from ripstop.risk.textfile import checked_path, put_file, read_text

KEYS = ("directed", "multigraph", "graph", "name", "nodes", "edges", "links")
LARGEST = 1 << 30  # bytes; a file beyond it is refused before it is read


def read_graph(path: str | Path) -> Graph:
    """Read a risk graph from a file: `.csv`, `.graphml`, or JSON whatever its name.

    Raises:
        RiskInputError: C0701 for a file that cannot be read or is no graph; C0702 to C0706 for what is in it.
    """
    forms = {".csv": ("CSV", parse_csv), ".graphml": ("GraphML", parse_graphml)}
    form, reader = forms.get(checked_path(path, "C0701").suffix.lower(), ("JSON", parse_graph))
    return reader(read_text(path, LARGEST, "C0701", form), str(path))


@takes(graph=GRAPH)
def write_graph(graph: Graph, path: str | Path) -> None:
    """Write a graph to a file that `read_graph` reads back: `.csv`, `.graphml`, or else JSON.

    CSV keeps the edges and their channels alone: no nodes without edges, no quantities.

    Raises:
        RiskInputError: C0701 for a file that cannot be written, C0702 for names that it cannot hold.
    """
    file = checked_path(path, "C0701")
    plain = {".csv": graph_to_csv, ".graphml": graph_to_graphml}.get(file.suffix.lower())
    text = json.dumps(graph_to_json(graph), indent=1) if plain is None else plain(graph)
    try:
        put_file(file, text.encode())
    except UnicodeEncodeError:
        raise RiskInputError(
            f"`{path}` cannot hold a name that is no Unicode text", code="C0702", hint="write JSON"
        ) from None
    except OSError as error:
        reason = (error.strerror or "cannot be written").lower()
        raise RiskInputError(f"`{path}`: {reason}", code="C0701") from None


def parse_graph(text: str, name: str = "") -> Graph:
    """Read a risk graph from JSON text; `name` says in errors where it came from.

    Raises:
        RiskInputError: C0701 to C0706.
    """
    if not isinstance(text, str | bytes | bytearray):
        raise _refused(name, "the graph is no text")
    try:
        document = json.loads(text, object_pairs_hook=_without_duplicates, parse_constant=_no_constant)
    except json.JSONDecodeError as error:
        place = Place(name, error.lineno, error.colno)
        raise RiskInputError(
            f"not JSON: {error.msg.lower()}",
            code="C0701",
            place=place,
            hint="else .csv or .graphml",
        ) from None
    except RecursionError:
        raise _refused(name, "nested too deeply for a graph") from None
    except ValueError as error:
        raise _refused(name, str(error)) from None
    try:
        return graph_from_json(document)
    except RecursionError:  # what is deep enough to be read may be too deep to be shown
        raise _refused(name, "nested too deeply for a graph") from None
    except RiskInputError as error:
        error.place = Place(name, 1, 1) if name else None
        raise


def graph_from_json(document: object) -> Graph:
    """Build a graph from parsed JSON.

    Raises:
        RiskInputError: C0701 to C0706.
    """
    if not isinstance(document, Mapping):
        raise _refused("", "expected an object with `edges`")
    unknown = [key for key in document if key not in KEYS]
    if unknown:
        raise _refused("", f"unknown key `{unknown[0]}`, expected one of {', '.join(KEYS)}")
    directed, multigraph = (_flag(document, key) for key in ("directed", "multigraph"))
    if "edges" in document and "links" in document:
        raise _refused("", "both `edges` and `links`, expected one of the two")
    rows = document.get("edges", document.get("links"))
    if not isinstance(rows, list):
        raise _refused("", "expected `edges` to be a list")
    edges = [_edge(row, at) for at, row in enumerate(rows)]
    ends = [(a, b) for a, b, _ in edges]
    if not multigraph:
        _refuse_parallel(ends, directed)
    nodes, quantities = _nodes(document.get("nodes"), ends)
    names = list(dict.fromkeys(name for _, _, channels in edges for name in channels)) or [WEIGHT]
    weights = {name: np.array([c.get(name, 0.0) for _, _, c in edges], dtype=object) for name in names}
    return Graph.from_edges(nodes, ends, weights, directed=directed, quantities=quantities)


@takes(graph=GRAPH)
def graph_to_json(graph: Graph) -> dict[str, object]:
    """Give a graph as plain JSON values that `graph_from_json` reads back.

    Raises:
        RiskInputError: C0702, for names that are neither text nor whole numbers, and read alike as text.
    """
    names = [_plain(node) for node in graph.nodes]
    if len(set(names)) != len(names):
        text_names(graph)
    nodes = []
    for i, node in enumerate(names):
        quantities = {name: float(q[i]) for name, q in graph.quantities.items()}
        nodes.append({"id": node} | quantities)
    edges = []
    for e, (a, b) in enumerate(zip(graph.source, graph.target, strict=True)):
        channels = {name: float(p[e]) for name, p in graph.channels.items()}
        edge = {"source": names[a], "target": names[b]}
        edges.append(
            edge | ({WEIGHT: channels[WEIGHT]} if set(channels) == {WEIGHT} else {"channels": channels})
        )
    return {"directed": graph.directed, "nodes": nodes, "edges": edges}


def _plain(node: Hashable) -> str | int:
    return node if isinstance(node, str | int) and not isinstance(node, bool) else str(node)


def _refused(name: str, why: str) -> RiskInputError:
    return RiskInputError(why, code="C0701", place=Place(name, 1, 1) if name else None)


def _without_duplicates(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) != len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise ValueError(f"key `{twice}` stands twice in one object")
    return found


def _no_constant(word: str) -> float:
    raise ValueError(f"`{word}` is no number in JSON")


def _flag(document: Mapping[str, object], key: str) -> bool:
    value = document.get(key, False)
    if not isinstance(value, bool):
        raise _refused("", f"`{key}` is `{value}`, expected true or false")
    return value


def _name(value: object, where: str) -> str | int:
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise RiskInputError(f"{where} is `{value}`, expected a string or a whole number", code="C0702")
    return value


def _edge(row: object, at: int) -> tuple[str | int, str | int, Mapping[str, object]]:
    where = f"edge {at + 1}"
    if isinstance(row, list) and len(row) == 3:
        return _name(row[0], f"the start of {where}"), _name(row[1], f"the end of {where}"), {WEIGHT: row[2]}
    if not isinstance(row, Mapping) or "source" not in row or "target" not in row:
        raise RiskInputError(
            f"{where} is `{_short(row)}`, expected [source, target, weight] or an object with both ends",
            code="C0703",
        )
    source, target = (
        _name(row["source"], f"the start of {where}"),
        _name(row["target"], f"the end of {where}"),
    )
    channels = row.get("channels")
    if (channels is None) == (WEIGHT not in row):
        raise RiskInputError(
            f"edge `{source}` to `{target}` has {'no' if channels is None else 'a'} `weight`"
            f"{'' if channels is None else ' and `channels`'}, expected a `weight` or `channels`",
            code="C0704",
        )
    if channels is None:
        return source, target, {WEIGHT: row[WEIGHT]}
    if not isinstance(channels, Mapping) or not channels:
        raise RiskInputError(
            f"`channels` of edge `{source}` to `{target}` is `{_short(channels)}`, "
            "expected an object of probabilities",
            code="C0704",
        )
    return source, target, channels


def _short(value: object) -> str:
    text = json.dumps(value, default=str)
    return text if len(text) <= 60 else text[:57] + "..."


def _refuse_parallel(ends: list[tuple[str | int, str | int]], directed: bool) -> None:
    seen: set[tuple[str | int, str | int]] = set()
    for a, b in ends:
        if (a, b) in seen or (not directed and (b, a) in seen):
            raise RiskInputError(
                f"edge `{a}` to `{b}` stands twice",
                code="C0705",
                hint='say "directed": true, or "multigraph": true if both are independent causes',
            )
        seen.add((a, b))


def _nodes(
    rows: object, ends: list[tuple[str | int, str | int]]
) -> tuple[list[Hashable], dict[str, NDArray[np.object_]]]:
    if rows is None:
        return list(dict.fromkeys(end for pair in ends for end in pair)), {}
    if not isinstance(rows, list):
        raise _refused("", "expected `nodes` to be a list")
    names: list[Hashable] = []
    for at, row in enumerate(rows):
        value = row.get("id") if isinstance(row, Mapping) else row
        names.append(_name(value, f"node {at + 1}"))
        if isinstance(row, Mapping):
            refuse_misspelt(names[-1], row)
    quantities: dict[str, NDArray[np.object_]] = {}
    for name in QUANTITIES:
        given = [row.get(name) if isinstance(row, Mapping) else None for row in rows]
        if any(value is not None for value in given):
            missing = 1.0 if name == "consequence" else None
            known = [missing if value is None else value for value in given]
            quantities[name] = np.array(known, dtype=object)
    return names, quantities

"""Which result rests on which, coloured by how much it leans on [P, H] ≈ 0 (figure 5, 8.7)."""

from collections.abc import Iterable
from typing import Any

from spectral_edge.theory import palette
from spectral_edge.theory.statements import registry
from spectral_edge.theory.statements.proposition import Proposition

LEANING = {"none": "not at all", "weak": "weakly", "strong": "strongly"}
SECTION_TITLES = {
    1: "gap position",
    2: "detection",
    3: "signal and gap flow",
    4: "noise, repulsion",
    5: "stability",
    6: "loss decomposition",
    7: "Gap Maximality",
    8: "further claims",
    9: "trajectories",
    10: "rolling window",
}
SHAPES = {"T": "s", "D": "o", "F": "^"}
KINDS = {"T": "claim of the thesis", "D": "derived", "F": "formalisation"}
#: More nodes than this in a row stand in two lines.
CROWDED = 15


def graph(propositions: Iterable[Proposition] | None = None) -> Any:
    """Dependency graph: an edge runs from a result to what rests on it.

    Parameters
    ----------
    propositions : iterable of Proposition, optional
        Default all of them.

    Returns
    -------
    networkx.DiGraph
        Nodes are identifiers with attributes ``mark``, ``commutativity``, ``title``.

    Examples
    --------
    >>> graph().has_edge("3.1", "3.3")
    True
    """
    import networkx as nx

    chosen = registry() if propositions is None else tuple(propositions)
    network = nx.DiGraph()
    for p in chosen:
        network.add_node(p.id, mark=p.mark, commutativity=p.commutativity, title=p.title)
    known = {p.id for p in chosen}
    network.add_edges_from((name, p.id) for p in chosen for name in p.depends_on if name in known)
    return network


def used_by(identifier: str) -> tuple[str, ...]:
    """Identifiers of the propositions that rest directly on `identifier`.

    Parameters
    ----------
    identifier : str

    Returns
    -------
    tuple of str

    Examples
    --------
    >>> "2.2" in used_by("2.1")
    True
    """
    return tuple(p.id for p in registry() if identifier in p.depends_on)


def text() -> str:
    """Return the graph as text: one line per result, with its leaning and what it rests on.

    Returns
    -------
    str

    Examples
    --------
    >>> print(text().splitlines()[0])
    1.1   [T] not at all  Gap position
    """
    lines = []
    for p in registry():
        rests = f"  <- {', '.join(p.depends_on)}" if p.depends_on else ""
        lines.append(f"{p.id:<5} [{p.mark}] {LEANING[p.commutativity]:<11} {p.title}{rests}")
    return "\n".join(lines)


def plot(ax: Any = None) -> Any:
    """Draw the graph (figure 5): colour for the leaning on [P, H] ≈ 0, shape for the mark.

    Parameters
    ----------
    ax : matplotlib Axes, optional

    Returns
    -------
    matplotlib Axes

    Examples
    --------
    >>> plot().get_title()[:8]
    'Which re'
    """
    import networkx as nx
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

    if ax is None:
        ax = Figure(figsize=(11, 9.5), layout="constrained").add_subplot()
    network = graph()
    # one row per section, first section on top
    rows = {
        -section: [node for node in network if node.startswith(f"{section}.")] for section in SECTION_TITLES
    }
    positions = nx.multipartite_layout(network, subset_key=rows, align="horizontal")
    apart = abs(positions[rows[-1][0]][1] - positions[rows[-2][0]][1])
    for row in rows.values():
        if len(row) > CROWDED:  # in two lines, or their names would run into one another
            for i, node in enumerate(row):
                positions[node] = positions[node] + [0, (0.2 if i % 2 else -0.2) * apart]
    nx.draw_networkx_edges(
        network, positions, ax=ax, edge_color="0.55", width=0.7, arrowsize=6, node_size=330,
        connectionstyle="arc3,rad=0.18",
    )  # fmt: skip
    for mark, shape in SHAPES.items():
        nodes = [node for node, data in network.nodes(data=True) if data["mark"] == mark]
        colours = [palette.LEANING[network.nodes[node]["commutativity"]] for node in nodes]
        nx.draw_networkx_nodes(
            network, positions, nodelist=nodes, node_color=colours, node_shape=shape, node_size=330, ax=ax,
            edgecolors="0.2", linewidths=0.6,
        )  # fmt: skip
    for node, (x, y) in positions.items():
        dark = network.nodes[node]["commutativity"] == "strong"
        ax.text(x, y, node, ha="center", va="center", fontsize=7, color="white" if dark else "black")
    for section, title in SECTION_TITLES.items():
        height = sum(positions[node][1] for node in rows[-section]) / len(rows[-section])
        ax.text(-0.01, height, f"{section}  {title}", transform=ax.get_yaxis_transform(), ha="right", va="center",
                fontsize=8)  # fmt: skip
    handles = [
        Line2D(
            [],
            [],
            marker="o",
            ls="",
            color=palette.LEANING[key],
            markeredgecolor="0.2",
            label=f"leans {LEANING[key]}",
        )
        for key in palette.LEANING
    ] + [
        Line2D([], [], marker=SHAPES[key], ls="", color="white", markeredgecolor="0.2", label=KINDS[key])
        for key in SHAPES
    ]
    ax.legend(
        handles=handles, ncols=6, loc="upper center", bbox_to_anchor=(0.42, 0.0), frameon=False, fontsize=9
    )
    ax.set_title("Which result rests on which (arrows), and how much it leans on [P, H] ≈ 0", fontsize=11)
    ax.set_axis_off()
    return ax

"""The causal graph of the reform, and what can be learned from it: one table of causes, identified with dowhy."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

from groupeffect.design.baseline import BaselineWindow
from groupeffect.errors import SpecError

if TYPE_CHECKING:
    import networkx as nx

    from groupeffect.design.design import Design

__all__ = [
    "CausalGraph",
    "Contrast",
    "Edge",
    "Identification",
    "Node",
    "Role",
    "contrast_of",
    "identify",
    "identify_graph",
    "reform_graph",
]

Contrast: TypeAlias = Literal["level", "change_from_last_year", "change_from_baseline"]
Role: TypeAlias = Literal["member", "core"]


@dataclass(frozen=True, slots=True)
class Node:
    """A variable of the graph.

    Parameters
    ----------
    name : str
        Short name.
    label : str
        Name for readers.
    observed : bool
        Whether data on it exist.
    """

    name: str
    label: str
    observed: bool = True


@dataclass(frozen=True, slots=True)
class Edge:
    """One variable acts on another, and why we think so."""

    cause: str
    effect: str
    why: str


@dataclass(frozen=True, slots=True)
class CausalGraph:
    """Variables and arrows.

    Parameters
    ----------
    nodes : tuple of Node
        Variables.
    edges : tuple of Edge
        Arrows.
    treatment, outcome : str
        Names of the nodes whose effect is asked for.
    """

    nodes: tuple[Node, ...]
    edges: tuple[Edge, ...]
    treatment: str
    outcome: str

    @property
    def observed(self) -> tuple[str, ...]:
        """Names of the observed variables."""
        return tuple(node.name for node in self.nodes if node.observed)

    def label(self, name: str) -> str:
        """Name of a variable for readers."""
        return next(node.label for node in self.nodes if node.name == name)

    def to_networkx(self) -> nx.DiGraph:
        """Graph object with ``label`` and ``observed`` (yes, no) on nodes and ``why`` on edges."""
        import networkx as nx

        graph = nx.DiGraph()
        for node in self.nodes:
            graph.add_node(node.name, label=node.label, observed="yes" if node.observed else "no")
        for edge in self.edges:
            graph.add_edge(edge.cause, edge.effect, why=edge.why)
        return graph

    def to_gml(self) -> str:
        """Graph as GML text, the same for the same graph."""
        import networkx as nx

        # GML keeps the node name in `label`, so the readers' label travels as `title`
        graph = self.to_networkx()
        for name, data in graph.nodes(data=True):
            data["title"] = data.pop("label", name)
        return "\n".join(nx.generate_gml(graph)) + "\n"


@dataclass(frozen=True, slots=True)
class Identification:
    """What the graph says about an effect.

    Parameters
    ----------
    graph : CausalGraph
        The graph.
    identified : bool
        Whether adjusting for observed variables gives the effect.
    adjust_for : tuple of str
        A smallest set of variables to adjust for (names of nodes, sorted); empty if none is needed or none suffices.
    never_adjust : tuple of str
        Observed consequences of the treatment: adjusting for them would hide part of the effect.
    unobserved : tuple of str
        Unobserved variables that act on treatment and, not through observed earlier variables, on the outcome: why the
        effect is not identified.
    """

    graph: CausalGraph
    identified: bool
    adjust_for: tuple[str, ...]
    never_adjust: tuple[str, ...]
    unobserved: tuple[str, ...]

    @property
    def text(self) -> str:
        """Two or three plain sentences for a report."""
        graph = self.graph
        what = f"The effect of {graph.label(graph.treatment)} on {graph.label(graph.outcome)}"
        if not self.identified:
            causes = _listed(graph, self.unobserved)
            why = f"what cannot be observed acts on both, and no observed variable blocks it ({causes})"
            return f"{what} is not identified: {why}."
        parts = [
            f"{what} is identified by adjusting for {_listed(graph, self.adjust_for)}."
            if self.adjust_for
            else f"{what} is identified without adjustment."
        ]
        if self.never_adjust:
            parts.append(f"Consequences of the treatment are not adjusted for: {_listed(graph, self.never_adjust)}.")
        if graph.outcome == "change":
            lasting = graph.label("quality")
            parts.append(f"This rests on parallel trends: {lasting} acts on the level of scores, not on their change.")
        return " ".join(parts)


def _listed(graph: CausalGraph, names: tuple[str, ...]) -> str:
    return ", ".join(graph.label(name) for name in names)


_LABELS = {
    "quality": ("lasting quality of the school", False),
    "luck": ("passing luck in the years used to pick schools", False),
    "exam_year": ("difficulty of the year's exam", False),
    "county": ("county policy and wave", True),
    "intake_before": ("intake before the reform", True),
    "past_scores": ("scores in the years used to pick schools", True),
    "intake_after": ("intake after joining", True),
}

_EVERYWHERE = (
    Edge("quality", "past_scores", "good schools score well"),
    Edge("quality", "intake_before", "good schools draw able pupils"),
    Edge("quality", "treatment", "officials and heads know more than scores show"),
    Edge("luck", "past_scores", "a good or bad year moves the scores that schools are picked on"),
    Edge("past_scores", "treatment", "weak schools are made members and strong ones cores"),
    Edge("county", "past_scores", "counties differ in means and teaching"),
    Edge("county", "intake_before", "counties differ in families"),
    Edge("county", "treatment", "counties decide on waves and models"),
    Edge("intake_before", "past_scores", "intake shows in scores"),
    Edge("intake_before", "intake_after", "neighbourhoods last"),
    Edge("treatment", "teachers", "the group moves backbone teachers"),
    Edge("treatment", "intake_after", "families react to the group's name"),
    Edge("treatment", "outcome", "shared lessons, management, training"),
    Edge("teachers", "outcome", "teachers act on scores"),
    Edge("intake_after", "outcome", "pupils' earlier attainment acts on scores"),
    Edge("intake_before", "outcome", "schools with different intake develop differently"),
    Edge("county", "outcome", "other policies of the county act on scores"),
    Edge("exam_year", "outcome", "each year's exam has its own difficulty"),
)

_ONLY = {
    "level": (Edge("quality", "outcome", "good schools score well"),),
    "change_from_last_year": (Edge("luck", "outcome", "the base year held the luck that schools were picked on"),),
    "change_from_baseline": (),
}

_ROLE = {
    "member": ("joined", "joining a group as a member", "teachers_received", "backbone teachers received"),
    "core": ("leads", "leading a group as core school", "teachers_sent", "backbone teachers sent out"),
}

_OUTCOME = {
    "level": ("score", "the level of scores"),
    "change_from_last_year": ("change", "the change of scores from the last year before joining"),
    "change_from_baseline": ("change", "the change of scores from a baseline before schools were picked"),
}


def reform_graph(contrast: Contrast = "change_from_baseline", *, role: Role = "member") -> CausalGraph:
    """Causal graph of a reform in which weak schools join groups led by strong ones.

    Parameters
    ----------
    contrast : {"level", "change_from_last_year", "change_from_baseline"}, default "change_from_baseline"
        Outcome: scores after joining, or their change from the last untreated year, or from a window before the years
        that were used to pick schools. The three graphs differ in one arrow: lasting quality acts on levels; the luck
        of the years used for picking acts on a change that is measured from them.
    role : {"member", "core"}, default "member"
        Whose effect.

    Returns
    -------
    CausalGraph

    Raises
    ------
    SpecError
        If `contrast` or `role` is unknown.
    """
    if contrast not in _ONLY or role not in _ROLE:
        raise SpecError(
            f"reform_graph({contrast!r}, role={role!r}) is unknown.",
            hint=f"Contrasts: {', '.join(_ONLY)}; roles: {', '.join(_ROLE)}.",
        )
    treatment, treatment_label, teachers, teachers_label = _ROLE[role]
    outcome, outcome_label = _OUTCOME[contrast]
    names = {"treatment": treatment, "teachers": teachers, "outcome": outcome}
    nodes = [Node(name, label, observed) for name, (label, observed) in _LABELS.items()]
    nodes += [Node(treatment, treatment_label), Node(teachers, teachers_label), Node(outcome, outcome_label)]
    edges = [
        Edge(names.get(edge.cause, edge.cause), names.get(edge.effect, edge.effect), edge.why)
        for edge in (*_EVERYWHERE, *_ONLY[contrast])
    ]
    return CausalGraph(tuple(nodes), tuple(edges), treatment, outcome)


def contrast_of(design: Design) -> Contrast:
    """Contrast that a design makes; whether its window ends before schools were picked is for the user to know."""
    return "change_from_baseline" if isinstance(design.baseline, BaselineWindow) else "change_from_last_year"


def identify(contrast: Contrast = "change_from_baseline", *, role: Role = "member") -> Identification:
    """Whether the effect of the reform is identified, and what to adjust for.

    Parameters
    ----------
    contrast : {"level", "change_from_last_year", "change_from_baseline"}, default "change_from_baseline"
        See :func:`reform_graph`.
    role : {"member", "core"}, default "member"
        Whose effect.

    Returns
    -------
    Identification

    Raises
    ------
    SpecError
        If `contrast` or `role` is unknown.

    Notes
    -----
    Differencing removes the arrow from lasting quality to the outcome: the effect on levels is not identified, the
    effect on the change from an early baseline is, given county and earlier intake. The change from the last year
    before joining is not: the luck of that year helped to pick the school, and adjusting for the scores it was picked
    on does not help, because those are a common consequence of luck and quality.
    """
    return identify_graph(reform_graph(contrast, role=role))


def identify_graph(graph: CausalGraph) -> Identification:
    """Back-door identification of a graph's treatment and outcome with dowhy's ``CausalModel.identify_effect``."""
    import networkx as nx
    import pandas as pd
    from dowhy import CausalModel

    plain = nx.DiGraph([(edge.cause, edge.effect) for edge in graph.edges])
    plain.add_nodes_from(node.name for node in graph.nodes)
    with warnings.catch_warnings():
        # dowhy announces unobserved variables, which this graph declares itself
        warnings.filterwarnings("ignore", message=r"\d+ variables are assumed unobserved", category=UserWarning)
        model = CausalModel(
            data=pd.DataFrame(columns=list(graph.observed), dtype=float),
            treatment=graph.treatment,
            outcome=graph.outcome,
            graph=plain,
        )
        estimand = model.identify_effect(method_name="minimal-adjustment")
    identified = bool(estimand.backdoor_variables)
    adjust_for = tuple(sorted(estimand.get_backdoor_variables())) if identified else ()
    after = nx.descendants(plain, graph.treatment)
    return Identification(
        graph,
        identified,
        adjust_for,
        tuple(sorted(name for name in graph.observed if name in after and name != graph.outcome)),
        () if identified else _unobserved_common_causes(graph, plain),
    )


def _unobserved_common_causes(graph: CausalGraph, plain: nx.DiGraph) -> tuple[str, ...]:
    """Unobserved variables that reach the treatment, and the outcome by a way without observed variables."""
    import networkx as nx

    hidden = [node.name for node in graph.nodes if not node.observed]
    towards_outcome = plain.subgraph([*hidden, graph.outcome])
    return tuple(
        name
        for name in sorted(hidden)
        if nx.has_path(towards_outcome, name, graph.outcome) and nx.has_path(plain, name, graph.treatment)
    )

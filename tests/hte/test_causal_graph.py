"""The reform's causal graph: what dowhy identifies, and what it says it cannot."""

from dataclasses import replace

import networkx as nx
import pytest

import groupeffect as ge
from groupeffect.errors import SpecError
from groupeffect.hte import identify, reform_graph
from groupeffect.hte.causal_graph import Edge, contrast_of, identify_graph

CONTRASTS = ("level", "change_from_last_year", "change_from_baseline")


@pytest.mark.parametrize(("role", "teachers"), [("member", "teachers_received"), ("core", "teachers_sent")])
def test_differences_from_an_early_baseline_identify_the_effect(role, teachers):
    found = identify("change_from_baseline", role=role)
    assert found.identified
    assert found.adjust_for == ("county", "intake_before")
    assert found.never_adjust == ("intake_after", teachers)
    assert found.unobserved == ()
    assert "parallel trends" in found.text
    assert "county policy and wave, intake before the reform" in found.text


@pytest.mark.parametrize(("contrast", "cause"), [("level", "quality"), ("change_from_last_year", "luck")])
def test_levels_and_late_bases_do_not(contrast, cause):
    found = identify(contrast)
    assert not found.identified
    assert found.adjust_for == ()
    assert found.unobserved == (cause,)
    assert "not identified" in found.text
    assert found.graph.label(cause) in found.text


def test_adjusting_for_the_scores_schools_were_picked_on_would_do_if_nothing_else_picked_them():
    graph = reform_graph("change_from_last_year")
    by_score_only = tuple(edge for edge in graph.edges if (edge.cause, edge.effect) != ("quality", "joined"))
    found = identify_graph(replace(graph, edges=by_score_only))
    assert found.identified
    assert "past_scores" in found.adjust_for


def test_without_confounders_nothing_is_adjusted_for():
    graph = reform_graph()
    random = tuple(edge for edge in graph.edges if edge.effect != "joined")
    found = identify_graph(replace(graph, edges=random))
    assert found.identified
    assert found.adjust_for == ()
    assert "without adjustment" in found.text


@pytest.mark.parametrize("contrast", CONTRASTS)
@pytest.mark.parametrize("role", ["member", "core"])
def test_graphs_are_acyclic_and_explained(contrast, role):
    graph = reform_graph(contrast, role=role)
    network = graph.to_networkx()
    assert nx.is_directed_acyclic_graph(network)
    assert set(network) == {node.name for node in graph.nodes}
    assert all(edge.why for edge in graph.edges)
    assert network.nodes["quality"]["observed"] == "no"
    assert nx.has_path(network, graph.treatment, graph.outcome)


def test_the_three_contrasts_differ_in_one_arrow():
    arrows = {name: {(e.cause, e.effect) for e in reform_graph(name).edges} for name in CONTRASTS[1:]}
    assert arrows["change_from_last_year"] - arrows["change_from_baseline"] == {("luck", "change")}
    levels = {(e.cause, e.effect.replace("score", "change")) for e in reform_graph("level").edges}
    extra = {arrow for arrow in levels if arrow[0] == "quality" and arrow[1] == "change"}
    assert extra == {("quality", "change")}


def test_gml_can_be_read_again():
    graph = reform_graph()
    text = graph.to_gml()
    again = nx.parse_gml(text)
    assert set(again.edges) == {(edge.cause, edge.effect) for edge in graph.edges}
    assert again.nodes["luck"]["title"] == graph.label("luck")
    assert text == reform_graph().to_gml()


def test_a_new_arrow_changes_the_answer():
    graph = reform_graph()
    hidden = Edge("quality", "change", "good schools pull away")
    assert not identify_graph(replace(graph, edges=(*graph.edges, hidden))).identified


def test_unknown_names_are_refused():
    with pytest.raises(SpecError, match="Contrasts: level"):
        identify("growth")
    with pytest.raises(SpecError, match="roles: member, core"):
        reform_graph(role="neighbour")


def test_contrast_of_a_design(draw):
    assert contrast_of(draw().design) == "change_from_last_year"
    assert contrast_of(draw(design={"base_period": ge.baseline_window(2016, 2018)}).design) == "change_from_baseline"

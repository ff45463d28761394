"""Steps that answer the questions of a reform: members, core schools, one group's twin, for whom, how robust."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from groupeffect.errors import DesignError, EstimationError, PanelError, PoorPreFitWarning

if TYPE_CHECKING:
    import pandas as pd

    from groupeffect.design.design import Design
    from groupeffect.panel.panel import Panel
    from groupeffect.pipeline.study import Draft, Study
    from groupeffect.reform.effects import RoleEffect
    from groupeffect.reform.naive import NaiveEstimate
    from groupeffect.result import Result

__all__ = ["estimate", "heterogeneity", "naive_estimates", "refute", "role_table", "synthetic", "twfe_result"]


def estimate(study: Study, draft: Draft) -> None:
    """Effects on members and core schools, the net effect, the comparisons that mislead, and further outcomes."""
    from groupeffect.report.figures import event_study_frame, support_map_frame

    analysis = study.analysis()
    draft.table("headline", analysis.headline())
    for refusal in analysis.refusals:
        draft.refuse(refusal.question, f"{refusal.reason} {refusal.hint}".strip())
    roles = [effect for effect in (analysis.member, analysis.core) if effect is not None]
    for effect in roles:
        _write_role(effect, draft)
    if analysis.net is not None:
        draft.result("net_overall", analysis.net.overall)
        draft.result("net_event_study", analysis.net.event_study)
    draft.json("certainty", {name: dataclasses.asdict(label) for name, label in analysis.certainty.items()})
    draft.table("baseline", role_table(roles, "balance"))
    draft.table("attrition", role_table(roles, "attrition"))
    languages = study.spec.study.languages
    paths: dict[str, Result] = {effect.role: effect.event_study for effect in roles}
    draft.figure("event_study_figure", event_study_frame(paths), languages)
    for effect in roles:
        draft.figure(f"{effect.role}_support_figure", support_map_frame(effect.support), languages)
    _write_outcomes(study, draft)


def _write_role(effect: RoleEffect, draft: Draft) -> None:
    role = effect.role
    draft.result(f"{role}_overall", effect.overall)
    draft.result(f"{role}_event_study", effect.event_study)
    draft.table(f"{role}_support", effect.support.frame())
    for other in effect.alternatives:
        draft.result(f"{role}_{other.pool}", other.overall)
        draft.result(f"{role}_{other.pool}_event_study", other.event_study)
    with _refusing(draft, f"{role}: comparisons that mislead"):
        for naive in naive_estimates(effect):
            draft.result(f"{role}_{naive.kind}", naive.result)
            draft.note(naive.warning)
    with _refusing(draft, f"{role}: two-way fixed effects"):
        draft.result(f"{role}_twfe", twfe_result(effect))
    verdict = effect.non_inferiority
    if verdict is not None:
        draft.json(f"{role}_non_inferiority", dataclasses.asdict(verdict))


def naive_estimates(effect: RoleEffect) -> list[NaiveEstimate]:
    """The two comparisons that mistake luck for an effect."""
    from groupeffect.reform.naive import before_after, last_year_base

    return [before_after(effect), last_year_base(effect)]


def twfe_result(effect: RoleEffect) -> Result:
    """Two-way fixed effects on the schools of an effect: shown as a warning, with the weights in its notes.

    Like the main analysis it counts a school as treated from its first joining on, whether or not it leaves later.
    """
    import groupeffect as ge

    panel, design = effect.fit.panel.without_exits(), effect.fit.design
    plain = ge.staggered_design(panel, cohort=design.cohort, comparison_pool=design.comparison_pool)
    fitted = ge.fit(ge.did.TWFE(), panel, plain)
    return fitted.infer(ge.ClusterRobust(by=effect.spec.cluster), level=effect.overall.level)


def role_table(effects: list[RoleEffect], field: str) -> pd.DataFrame:
    """Baseline or attrition rows of several roles, the role first."""
    import pandas as pd

    rows = []
    for effect in effects:
        found = getattr(effect, field)
        items = found if isinstance(found, tuple) else (found,)
        rows += [{"role": effect.role, **dataclasses.asdict(item)} for item in items]
    return pd.DataFrame(rows)


def _write_outcomes(study: Study, draft: Draft) -> None:
    """The same comparison of members on every further outcome declared, tested as one family."""
    from groupeffect.inference.multiple_testing import adjust_family

    found = {}
    for outcome in study.reform.outcomes:
        with _refusing(draft, f"outcome {outcome}"):
            found[outcome] = study.member_on(outcome).overall
            draft.result(f"outcome_{outcome}", found[outcome])
    if found:
        draft.table("outcomes", adjust_family(found))


@contextmanager
def _refusing(draft: Draft, what: str) -> Iterator[None]:
    """Enter what the data cannot answer among the refusals, and go on with the rest."""
    try:
        yield
    except (PanelError, DesignError, EstimationError) as error:
        draft.refuse(what, error.message)


def synthetic(study: Study, draft: Draft) -> None:
    """One group against a constructed twin: synthetic difference-in-differences, synthetic control beside it."""
    import groupeffect as ge
    from groupeffect.reform.twin import group_case
    from groupeffect.report.figures import synthetic_path_frame

    spec = study.spec.synthetic
    assert spec is not None
    case = group_case(study.panel(), spec.group)
    draft.json("case", {"group": case.group, "start": case.start, "n_members": case.n_members})
    strategy = ge.PlaceboUnits(draws=spec.draws, seed=spec.seed)
    for name, estimator in (("did", ge.synth.SyntheticDiD()), ("control", ge.synth.SyntheticControl())):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", PoorPreFitWarning)
            fitted = ge.fit(estimator, case.panel, case.design)
        poor = [str(item.message) for item in caught if issubclass(item.category, PoorPreFitWarning)]
        result = fitted.infer(strategy)
        draft.result(f"synthetic_{name}_path", result)
        if poor:
            draft.refuse(f"one group, {estimator.info.label}", f"no twin reproduces its path ({poor[0]})")
        else:
            draft.result(f"synthetic_{name}_overall", fitted.aggregate(ge.overall()).infer(strategy))
        draft.figure(f"synthetic_{name}_figure", synthetic_path_frame(result), study.spec.study.languages)
    draft.note(
        f"synthetic twin of group {case.group}: placebo schools are noisier than the average of {case.n_members} "
        "members, so its interval is too wide rather than too narrow"
    )


def heterogeneity(study: Study, draft: Draft) -> None:
    """For whom: doubly robust scores, their projection on what schools were before, quarters by predicted effect."""
    import groupeffect as ge
    from groupeffect.report.figures import effect_distribution_frame

    spec = study.spec.heterogeneity
    assert spec is not None
    effect, panel, design = _within_areas(study, spec.modifiers)
    learner = ge.hte.DRLearner(modifiers=spec.modifiers, folds=spec.folds, by=effect.spec.cluster, seed=spec.seed)
    fitted = ge.fit(learner, panel, design)
    result = fitted.infer(ge.ClusterRobust(by=effect.spec.cluster, correction="cr1"))
    draft.result("heterogeneity", result)
    draft.figure("effect_distribution_figure", effect_distribution_frame(result), study.spec.study.languages)


def _within_areas(study: Study, covariates: Sequence[str]) -> tuple[RoleEffect, Panel, Design]:
    """Members against schools never in a group, outcomes less the path of their county, with covariates."""
    from groupeffect.reform.area import within_areas
    from groupeffect.reform.spec import prepare

    effect = study.member_on("score", pool="all_never")
    panel = study.schools().panel("score", covariates=covariates)
    panel = prepare(panel, effect.spec.roles, effect.baseline)
    design = effect.spec.design(panel)
    return effect, within_areas(panel, design, effect.spec.full_estimator(panel)), design


def refute(study: Study, draft: Draft) -> None:
    """The reform's causal graph, what it identifies, and attempts to refute the main estimate."""
    import groupeffect as ge
    from groupeffect.hte.causal_graph import contrast_of, identify, reform_graph
    from groupeffect.hte.refutation import refute as attempt

    spec = study.spec.refute
    assert spec is not None
    effect, panel, design = _within_areas(study, spec.covariates)
    contrast = contrast_of(design)
    draft.text("graph.gml", reform_graph(contrast).to_gml())
    draft.text("identification.txt", identify(contrast).text + "\n" + identify("level").text + "\n")
    plain = ge.fit(ge.did.CallawaySantAnna(unbalanced="pairs"), panel, design)
    report = attempt(plain.aggregate(ge.overall()), draws=spec.draws, seed=spec.seed, by=effect.spec.cluster)
    draft.table("refutations", report.frame())
    draft.json("refutation", {"estimate": report.estimate, "std_error": report.std_error, "stands": report.stands})

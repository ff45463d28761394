"""Steps that make or check the data."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from groupeffect.pipeline.study import Draft, Study

__all__ = ["generate", "validate"]


def generate(study: Study, draft: Draft) -> None:
    """Write the synthetic reform: the files a bureau would export, and the truth apart from them."""
    from groupeffect.simulate import simulate_schools, write_reform

    assert study.spec.schools is not None
    options = study.spec.schools.generate
    assert options is not None
    reform = simulate_schools(options.scenario, n_schools=options.n_schools, seed=options.seed, faults=options.faults)
    write_reform(reform, draft.folder)


def validate(study: Study, draft: Draft) -> None:
    """Check the files, list every fault, draw what is observed. Stops the study on errors.

    Raises
    ------
    PanelError
        If a data rule is broken; every fault is listed.
    """
    from groupeffect.panel.folder import validate_folder
    from groupeffect.panel.missingness import missingness_support
    from groupeffect.report.figures import missingness_frame

    assert study.spec.schools is not None
    report = validate_folder(study.data_folder, encoding=study.spec.schools.encoding)
    draft.table("violations", report.to_frame())
    draft.text("report.txt", f"{report}\n")
    report.raise_errors()
    draft.note(*(f"{fault.rule}: {fault.message}" for fault in report.warnings))
    schools = study.schools()
    panel = schools.panel()
    draft.note(*(f"{drop.step}: {drop.reason} ({drop.rows} rows, {drop.units} units)" for drop in panel.history))
    draft.table("missingness", missingness_support(panel))
    draft.figure("missingness_figure", missingness_frame(panel), study.spec.study.languages)

"""The command line. Everything heavy is imported inside the command that needs it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, NoReturn

import typer

from groupeffect.errors import GroupEffectError, SpecError

if TYPE_CHECKING:
    from rich.console import Console

    from groupeffect.registry import EstimatorInfo

__all__ = ["app", "main"]

app = typer.Typer(
    name="groupeffect",
    help="Causal impact of school-group reforms from panel data.",
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")]


def main() -> None:
    """Entry point: errors of this package become a message and exit code 1."""
    try:
        app()
    except GroupEffectError as error:
        _stop(error)


def _stop(error: GroupEffectError) -> NoReturn:
    typer.secho(f"{type(error).__name__}: {error}", err=True, fg=typer.colors.RED)
    raise SystemExit(1)


def _console() -> Console:
    from rich.console import Console

    return Console()


@app.command()
def simulate(
    folder: Annotated[Path, typer.Argument(help="Folder to write schools.csv, scores.csv, membership.csv, ... into.")],
    scenario: Annotated[str, typer.Option(help="One of the 17 scenarios; see --list.")] = "clean",
    schools: Annotated[int, typer.Option(min=100, help="Number of schools.")] = 1500,
    seed: Annotated[int, typer.Option(min=0)] = 0,
    faults: Annotated[bool, typer.Option(help="Plant the data faults of real files.")] = True,
    encoding: Annotated[Literal["utf-8", "utf-8-sig", "gb18030"], typer.Option(help="Of the files.")] = "utf-8",
    headers: Annotated[Literal["en", "zh"], typer.Option(help="Language of the column names.")] = "en",
    list_scenarios: Annotated[bool, typer.Option("--list", help="List the scenarios and stop.")] = False,
) -> None:
    """Write a synthetic school reform with known truth, as a bureau would export it."""
    from groupeffect.simulate import SCENARIOS, simulate_schools, write_reform

    if list_scenarios:
        for name, item in SCENARIOS.items():
            typer.echo(f"{name:16s} {item.explanation}")
        return
    reform = simulate_schools(scenario, n_schools=schools, seed=seed, faults=faults)
    written = write_reform(reform, folder, encoding=encoding, headers=headers)
    for path in written:
        typer.echo(str(path))


@app.command()
def validate(
    source: Annotated[Path, typer.Argument(help="A table (csv, parquet, xlsx) or a folder with the bureau's files.")],
    unit: Annotated[str, typer.Option(help="Unit column (tables).")] = "school_id",
    time: Annotated[str, typer.Option(help="Time column (tables).")] = "year",
    outcome: Annotated[str, typer.Option(help="Outcome column (tables).")] = "score",
    cohort: Annotated[str | None, typer.Option(help="First treated time (tables).")] = None,
    never: Annotated[list[float] | None, typer.Option(help="Codes that mean never treated.")] = None,
    covariate: Annotated[list[str] | None, typer.Option(help="Covariate columns.")] = None,
    attribute: Annotated[list[str] | None, typer.Option(help="Columns constant within units.")] = None,
    encoding: Annotated[str | None, typer.Option(help="Encoding; found by itself if not given.")] = None,
    picture: Annotated[Path | None, typer.Option(help="Write the missingness and support picture here (svg).")] = None,
    as_json: Json = False,
) -> None:
    """List every fault in the data at once. Exit code 1 if there is an error."""
    from groupeffect.panel.columns import Columns
    from groupeffect.panel.folder import validate_folder
    from groupeffect.panel.validation import validate_table

    columns = Columns(
        unit=unit,
        time=time,
        outcome=outcome,
        cohort=cohort,
        never=tuple(never or ()),
        covariates=tuple(covariate or ()),
        attributes=tuple(attribute or ()),
    )
    if source.is_dir():
        report = validate_folder(source, encoding=encoding)
    else:
        report = validate_table(source, columns, encoding=encoding)
    typer.echo(report.to_frame().to_json(orient="records", force_ascii=False) if as_json else str(report))
    if picture is not None and report.ok:
        _draw_missingness(source, columns, encoding, picture)
        typer.echo(f"picture: {picture}")
    if not report.ok:
        raise typer.Exit(1)


def _draw_missingness(source: Path, columns: object, encoding: str | None, picture: Path) -> None:
    from groupeffect.panel.columns import Columns
    from groupeffect.panel.read import read_panel
    from groupeffect.panel.school_files import read_school_files
    from groupeffect.report.figures import figure_of, missingness_frame, save_figure

    if source.is_dir():
        panel = read_school_files(source, encoding=encoding).panel()
    else:
        assert isinstance(columns, Columns)
        panel = read_panel(source, columns, encoding=encoding)
    frame = missingness_frame(panel)
    save_figure(figure_of(frame), picture.with_suffix(""), frame)


@app.command(name="list")
def list_estimators(as_json: Json = False) -> None:
    """List the estimators, plug-ins included."""
    from groupeffect.registry import discover

    rows = [_row(cls.info) for cls in discover().values()]  # type: ignore[attr-defined]
    if as_json:
        import json

        typer.echo(json.dumps(rows, indent=1))
        return
    for row in rows:
        typer.echo(f"{row['name']:20s} {row['family']:6s} {row['label']}  [{row['reference']}]")


def _row(info: EstimatorInfo) -> dict[str, object]:
    return {
        "name": info.name,
        "label": info.label,
        "family": info.family,
        "reference": info.reference,
        "provides": sorted(info.provides),
        "handles": sorted(info.handles),
    }


@app.command()
def fit(
    config: Annotated[Path, typer.Argument(help="A TOML file with [panel], [design], [estimator], [inference].")],
    out: Annotated[Path | None, typer.Option(help="Write the result here as JSON.")] = None,
    as_json: Json = False,
) -> None:
    """Fit one estimator as described in a TOML file and print its tidy table."""
    from groupeffect.pipeline.single import fit_file

    result = fit_file(config)
    if out is not None:
        result.to_json(out)
    if as_json:
        typer.echo(result.to_json(), nl=False)
        return
    typer.echo(result.tidy().to_string(index=False))
    for note in result.notes:
        typer.echo(f"note: {note}")


@app.command()
def run(
    studies: Annotated[list[Path], typer.Argument(help="Study files (TOML), run in this order.")],
    out: Annotated[Path | None, typer.Option(help="Folder of the outputs instead of the study's own.")] = None,
) -> None:
    """Run studies: data, estimates, figures, brief, paper. Only stale steps run again."""
    from groupeffect.pipeline.run import run_study, show_outcomes
    from groupeffect.pipeline.study import Study

    opened = [Study.open(path, out=out) for path in studies]
    console = _console()
    finished = [(study, run_study(study, console=console)) for study in opened]
    for study, outcomes in finished:
        show_outcomes(study, outcomes, console=console)


@app.command()
def verify(
    studies: Annotated[list[Path], typer.Argument(help="Study files (TOML).")],
) -> None:
    """Run studies twice from nothing; exit code 1 if any byte differs."""
    from groupeffect.pipeline.run import verify as run_twice

    differing = run_twice(studies, console=_console())
    if differing:
        typer.secho(f"{len(differing)} files differ: {', '.join(differing[:10])}", err=True, fg=typer.colors.RED)
        raise typer.Exit(1)
    typer.echo("Both runs wrote the same bytes.")


@app.command()
def brief(
    content: Annotated[Path, typer.Argument(help="study.json of a finished run.")],
    out: Annotated[Path, typer.Option(help="Folder for the brief.")] = Path(),
    language: Annotated[list[str] | None, typer.Option(help="en, zh or both.")] = None,
) -> None:
    """Write the two-page brief of a finished study."""
    from groupeffect.report.brief import write_brief
    from groupeffect.report.content import StudyResults
    from groupeffect.report.locale import LANGUAGES

    chosen = [code for code in LANGUAGES if code in (language or LANGUAGES)]
    unknown = sorted(set(language or ()) - set(LANGUAGES))
    if unknown:
        raise SpecError(f"There is no brief in {', '.join(unknown)}.", hint=f"Use {' or '.join(LANGUAGES)}.")
    for path in write_brief(StudyResults.from_json(content), out, languages=chosen):
        typer.echo(str(path))


@app.command()
def check(
    estimator: Annotated[str, typer.Argument(help="Name of an estimator; see `groupeffect list`.")],
) -> None:
    """Run the contract suite on an estimator (your own plug-in, for instance). Exit code 1 if a check fails."""
    from groupeffect.registry import find
    from groupeffect.testing import check_estimator

    report = check_estimator(find(estimator)())
    typer.echo(str(report))
    if report.failures:
        raise typer.Exit(1)

"""Which column plays which role."""

from __future__ import annotations

from dataclasses import dataclass, field, fields

from groupeffect.errors import SpecError

__all__ = ["Columns"]


@dataclass(frozen=True, slots=True)
class Columns:
    """Roles of the columns of a long table with one row per unit and time.

    Parameters
    ----------
    unit : str
        Column that identifies a unit (a school).
    time : str
        Column with the time (an integer; for schools the year in which the school year starts).
    outcome : str
        Column with the outcome.
    cohort : str, optional
        Column with the first treated time of the unit. Empty, NaN and infinite always mean never treated.
        None (the default) means that nobody is treated according to the table (block designs name the treated units).
    never : tuple of float or str, default ()
        Further codes in `cohort` that mean never treated, for example ``(0,)`` or ``("never",)``.
    exit : str, optional
        Column with the time from which the unit is no longer treated; empty means it stays.
    weight : str, optional
        Column with a positive sampling weight, constant within units.
    cell_size : str, optional
        Column with the number of pupils behind the outcome.
    covariates : tuple of str, default ()
        Numeric columns; may vary over time.
    attributes : tuple of str, default ()
        Columns that are constant within a unit (county, school_group, ...): cluster and subgroup labels.
    outcome_unit : str, default "units"
        Unit of the outcome for labels, for example ``"sd"``.

    Raises
    ------
    SpecError
        If a role is empty or one column plays two exclusive roles.
    """

    unit: str
    time: str
    outcome: str
    cohort: str | None = None
    never: tuple[float | str, ...] = ()
    exit: str | None = field(default=None, kw_only=True)
    weight: str | None = field(default=None, kw_only=True)
    cell_size: str | None = field(default=None, kw_only=True)
    covariates: tuple[str, ...] = field(default=(), kw_only=True)
    attributes: tuple[str, ...] = field(default=(), kw_only=True)
    outcome_unit: str = field(default="units", kw_only=True)

    def __post_init__(self) -> None:
        for name in ("covariates", "attributes", "never"):
            value = getattr(self, name)
            if isinstance(value, str):
                raise SpecError(
                    f"Columns.{name} is the text {value!r}, not a tuple.", hint=f"Write {name}=({value!r},)."
                )
            object.__setattr__(self, name, tuple(value))
        exclusive = [self.unit, self.time, self.outcome, self.cohort]
        named = [name for name in exclusive if name is not None]
        if not all(named) or len(set(named)) != len(named):
            raise SpecError(
                f"Columns needs four different names for unit, time, outcome and cohort; got {named}.",
                hint="Give each role its own column.",
            )

    @property
    def required(self) -> tuple[str, ...]:
        """Every column that must be in the table, each once, in the order of the roles."""
        single = [self.unit, self.time, self.outcome, self.cohort, self.exit, self.weight, self.cell_size]
        names = [name for name in single if name is not None] + [*self.covariates, *self.attributes]
        return tuple(dict.fromkeys(names))

    def to_dict(self) -> dict[str, object]:
        """Roles as plain values, for specification files."""
        return {item.name: getattr(self, item.name) for item in fields(self)}

r"""Small named panels with known truth, for tests of estimators.

Every design returns a table and the true effects, and is noiseless with ``noise=0``: a method that is right for the
design must then recover the truth exactly. `score` is in units; ``cohort`` is 0 for units never treated.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

import numpy as np
import pandas as pd

from groupeffect._types import NEVER, BoolArray, FloatArray, IntArray
from groupeffect.errors import SpecError

__all__ = ["DGPS", "NamedDesign", "dgp"]

_FEWEST_UNITS, _FEWEST_TIMES = 40, 6


@dataclass(frozen=True, slots=True)
class NamedDesign:
    """One named design.

    Parameters
    ----------
    name : str
    explanation : str
        What holds in it, and for whom it is hard.
    build : callable
        Draws it.
    """

    name: str
    explanation: str
    build: Callable[[_Draw], _Panel]


@dataclass(frozen=True, slots=True)
class _Draw:
    """Sizes and streams of one draw."""

    n: int
    times: IntArray
    noise: float
    rng: dict[str, np.random.Generator]

    def normal(self, stream: str, *shape: int) -> FloatArray:
        return self.rng[stream].standard_normal(shape)


@dataclass(frozen=True, slots=True)
class _Panel:
    """A drawn panel as arrays of units x times."""

    untreated: FloatArray
    effect: FloatArray
    cohort: FloatArray
    observed: BoolArray
    x: FloatArray
    cluster: IntArray
    lead: int = 0


def dgp(
    name: str, *, n_units: int = 500, n_times: int = 8, seed: int = 0, noise: float = 1.0
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Draw a named design.

    Parameters
    ----------
    name : str
        A key of :data:`DGPS`.
    n_units : int, default 500
        At least 40.
    n_times : int, default 8
        At least 6; times are 1, ..., n_times.
    seed : int, default 0
        Same seed, same table; units, cohorts and effects do not depend on `noise`.
    noise : float, default 1.0
        SD of the noise (and factor of cluster shocks); 0 gives a noiseless panel.

    Returns
    -------
    frame : DataFrame
        ``unit, time, y, cohort, treated, x, cluster``, one row per observed unit-time; `cohort` is 0 if never treated,
        `x` is constant within units.
    truth : DataFrame
        ``cohort, time, event_time, att, n_treated``: mean effect over the observed treated units of each cell, from the
        first period with an effect (the anticipation period where there is one).

    Raises
    ------
    SpecError
        If the design is unknown or the panel too small.
    """
    if name not in DGPS:
        raise SpecError(f"There is no design {name!r}.", hint=f"Choose one of: {', '.join(DGPS)}.")
    if n_units < _FEWEST_UNITS or n_times < _FEWEST_TIMES:
        raise SpecError(
            f"{n_units} units and {n_times} times are too few.",
            hint=f"Ask for at least {_FEWEST_UNITS} units and {_FEWEST_TIMES} times.",
        )
    if noise < 0:
        raise SpecError(f"noise={noise:g} is negative.", hint="Give a standard deviation.")
    streams = ("cohort", "unit", "time", "x", "effect", "noise", "cluster", "missing")
    children = np.random.SeedSequence(seed).spawn(len(streams))
    rng = {key: np.random.default_rng(child) for key, child in zip(streams, children, strict=True)}
    draw = _Draw(n_units, np.arange(1, n_times + 1), noise, rng)
    return _tables(draw, DGPS[name].build(draw))


def _tables(draw: _Draw, panel: _Panel) -> tuple[pd.DataFrame, pd.DataFrame]:
    noise = draw.noise * draw.normal("noise", draw.n, len(draw.times))
    rows, columns = np.nonzero(panel.observed)
    cohort = np.where(np.isfinite(panel.cohort), panel.cohort, 0).astype(np.int64)
    frame = pd.DataFrame(
        {
            "unit": rows + 1,
            "time": draw.times[columns],
            "y": (panel.untreated + panel.effect + noise)[rows, columns],
            "cohort": cohort[rows],
            "treated": (draw.times >= panel.cohort[:, None])[rows, columns],
            "x": panel.x[rows],
            "cluster": panel.cluster[rows] + 1,
        }
    )
    return frame, _truth(draw.times, panel)


def _truth(times: IntArray, panel: _Panel) -> pd.DataFrame:
    cells = []
    for start in np.unique(panel.cohort[np.isfinite(panel.cohort)]):
        mine = panel.cohort == start
        for t in np.flatnonzero(times >= start - panel.lead):
            seen = mine & panel.observed[:, t]
            if seen.any():
                cells.append(
                    (int(start), int(times[t]), int(times[t] - start), panel.effect[seen, t].mean(), seen.sum())
                )
    return pd.DataFrame(cells, columns=["cohort", "time", "event_time", "att", "n_treated"])


def _staggered(draw: _Draw, key: FloatArray | None = None) -> FloatArray:
    """Three cohorts and never treated units (40 %); if given, units with a high key join earlier."""
    last = int(draw.times[-1])
    starts = np.array([last // 2, last // 2 + 1, last // 2 + 2, NEVER])
    score = draw.rng["cohort"].random(draw.n) if key is None else _rank(-key)
    return np.asarray(starts[np.searchsorted((0.2, 0.4, 0.6), score, side="right")])


def _rank(values: FloatArray) -> FloatArray:
    order = np.empty(len(values), dtype=np.int64)
    order[np.argsort(values, kind="stable")] = np.arange(len(values))
    return np.asarray((order + 0.5) / len(values))


def _additive(draw: _Draw) -> FloatArray:
    """Draw unit plus time effects."""
    return np.asarray(draw.normal("unit", draw.n, 1) + 0.3 * draw.times + 0.2 * draw.normal("time", len(draw.times)))


def _panel(
    draw: _Draw,
    untreated: FloatArray,
    effect: FloatArray,
    cohort: FloatArray,
    *,
    x: FloatArray | None = None,
    observed: BoolArray | None = None,
    cluster: IntArray | None = None,
    lead: int = 0,
) -> _Panel:
    return _Panel(
        untreated,
        effect,
        cohort,
        np.ones(untreated.shape, dtype=bool) if observed is None else observed,
        draw.normal("x", draw.n) if x is None else x,
        np.arange(draw.n) if cluster is None else cluster,
        lead,
    )


def _since(draw: _Draw, cohort: FloatArray) -> FloatArray:
    """Periods since treatment began, -inf for never treated units, shape (n, T)."""
    return np.asarray(draw.times - cohort[:, None])


def _growing(event: FloatArray, start: float = 1.0, slope: float = 0.5) -> FloatArray:
    return np.where(event >= 0, start + slope * np.maximum(event, 0), 0.0)


def _constant_effects(draw: _Draw) -> _Panel:
    cohort = _staggered(draw)
    return _panel(draw, _additive(draw), _growing(_since(draw, cohort), 1.0, 0.0), cohort)


def _parallel_trends(draw: _Draw) -> _Panel:
    cohort = _staggered(draw)
    individual = 0.3 * draw.normal("effect", draw.n, 1) * draw.noise
    event = _since(draw, cohort)
    return _panel(draw, _additive(draw), _growing(event) + individual * (event >= 0), cohort)


def _covariate_trends(draw: _Draw) -> _Panel:
    x = draw.normal("x", draw.n)
    cohort = _staggered(draw, x + draw.normal("cohort", draw.n))
    untreated = _additive(draw) + 0.5 * x[:, None] * draw.times
    return _panel(draw, untreated, _growing(_since(draw, cohort)), cohort, x=x)


def _anticipation(draw: _Draw) -> _Panel:
    cohort = _staggered(draw)
    event = _since(draw, cohort)
    effect = _growing(event) + 0.5 * (event == -1)
    return _panel(draw, _additive(draw), effect, cohort, lead=1)


def _heterogeneous_cohorts(draw: _Draw) -> _Panel:
    cohort = _staggered(draw)
    event = _since(draw, cohort)
    delay = np.where(np.isfinite(cohort), cohort - np.min(cohort), 0.0)[:, None]
    effect: FloatArray = (3.0 - 1.25 * delay) * _growing(event, 1.0, 1.0)
    return _panel(draw, _additive(draw), effect, cohort)


def _unbalanced(draw: _Draw) -> _Panel:
    cohort = _staggered(draw)
    rng = draw.rng["missing"]
    observed = rng.random((draw.n, len(draw.times))) >= 0.10
    late = rng.random(draw.n) < 0.10
    observed &= ~(late[:, None] & (draw.times <= 2))
    return _panel(draw, _additive(draw), _growing(_since(draw, cohort)), cohort, observed=observed)


def _factor(draw: _Draw) -> _Panel:
    """Block design; each treated unit is a mixture of donors with high loadings, so a synthetic control exists."""
    n, number = draw.n, len(draw.times)
    n_treated = max(n // 20, 2)
    n_donors = n - n_treated
    loadings = draw.normal("unit", n, 3)
    order = np.argsort(-loadings[:n_donors, 0], kind="stable")
    pool = order[: max(n_donors // 3, 5)]
    rng = draw.rng["cohort"]
    parents = np.stack([rng.choice(pool, size=4, replace=False) for _ in range(n_treated)])
    mixture = rng.dirichlet(np.full(4, 2.0), n_treated)
    loadings[n_donors:] = np.einsum("ik,ikf->if", mixture, loadings[parents])
    common = np.cumsum(draw.normal("time", number, 2), axis=0) + 0.3 * draw.times[:, None]
    untreated = loadings[:, [2]] + loadings[:, :2] @ common.T
    start = float(draw.times[(2 * number) // 3])
    cohort = np.where(np.arange(n) >= n_donors, start, NEVER)
    return _panel(draw, untreated, _growing(_since(draw, cohort)), cohort)


def _few_clusters(draw: _Draw) -> _Panel:
    """Twelve clusters of unequal size; whole clusters are treated and share shocks."""
    number = 12
    size = np.arange(1, number + 1, dtype=float)
    edges = np.cumsum(size / size.sum())
    cluster = np.searchsorted(edges, (np.arange(draw.n) + 0.5) / draw.n)
    middle = int(draw.times[-1]) // 2
    starts = np.full(number, NEVER)
    chosen = draw.rng["cohort"].permutation(number)
    starts[chosen[:3]], starts[chosen[3:6]] = middle, middle + 2
    cohort = starts[cluster]
    shock = 0.5 * draw.noise * draw.normal("cluster", number, len(draw.times))
    return _panel(draw, _additive(draw) + shock[cluster], _growing(_since(draw, cohort)), cohort, cluster=cluster)


_ALL: Final = (
    NamedDesign(
        "constant_effects", "parallel trends and one constant effect: even static TWFE is right", _constant_effects
    ),
    NamedDesign("parallel_trends", "parallel trends, effects that grow and differ between units", _parallel_trends),
    NamedDesign("covariate_trends", "trends are parallel only given x, which also drives adoption", _covariate_trends),
    NamedDesign("anticipation", "half a unit of the effect comes one period early", _anticipation),
    NamedDesign(
        "heterogeneous_cohorts", "early cohorts gain, late ones lose: TWFE mixes them wrongly", _heterogeneous_cohorts
    ),
    NamedDesign("unbalanced", "a tenth of the cells missing at random, a tenth of the units enter late", _unbalanced),
    NamedDesign("factor", "block adoption under interactive fixed effects: trends are not parallel", _factor),
    NamedDesign(
        "few_clusters", "twelve clusters of unequal size, treated as a whole, with shared shocks", _few_clusters
    ),
)

DGPS: Final[Mapping[str, NamedDesign]] = MappingProxyType({design.name: design for design in _ALL})
"""Name -> design."""

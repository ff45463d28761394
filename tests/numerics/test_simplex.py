"""The simplex solver against optimality conditions, brute force and a general-purpose optimiser."""

import itertools
import pickle
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize

from groupeffect.numerics.simplex import early_stopped_simplex, nearest_on_simplex, simplex_least_squares


def problem(seed, rows, columns, *, inside=0.5, level=5.0):
    """Differences to a target that lies inside the hull of the columns, or outside it."""
    rng = np.random.default_rng(seed)
    matrix = rng.normal(size=(rows, columns)) + level * rng.normal(size=(rows, 1))
    target = matrix @ rng.dirichlet(np.full(columns, 0.5)) + (rng.random() > inside) * rng.normal(size=rows)
    return matrix, target


def differences_gram(matrix, target):
    distance = matrix - target[:, None]
    return distance.T @ distance


def objective(gram, linear, ridge, weights):
    return 0.5 * weights @ gram @ weights - linear @ weights + 0.5 * ridge * weights @ weights


def on_simplex(weights):
    return weights.min() >= 0 and abs(weights.sum() - 1) < 1e-12


def by_enumeration(gram, linear, ridge):
    """Optimum of a small problem: the best of the solutions on every support."""
    n = len(linear)
    best, value = None, np.inf
    for size in range(1, n + 1):
        for support in itertools.combinations(range(n), size):
            rows = np.array(support)
            system = np.zeros((size + 1, size + 1))
            system[:size, :size] = gram[np.ix_(rows, rows)] + ridge * np.eye(size)
            system[:size, size] = system[size, :size] = 1.0
            solution = np.linalg.solve(system, np.append(linear[rows], 1.0))[:size]
            if solution.min() < 0:
                continue
            weights = np.zeros(n)
            weights[rows] = solution
            if objective(gram, linear, ridge, weights) < value:
                best, value = weights, objective(gram, linear, ridge, weights)
    return best


@settings(max_examples=150, deadline=None, derandomize=True)
@given(
    seed=st.integers(0, 10**6),
    rows=st.integers(1, 30),
    columns=st.integers(1, 60),
    ridge=st.sampled_from([0.0, 1e-9, 1e-4, 1.0, 100.0]),
)
def test_random_problems_are_certified(seed, rows, columns, ridge):
    matrix, target = problem(seed, rows, columns)
    gram, linear = differences_gram(matrix, target), np.zeros(columns)
    fit = simplex_least_squares(gram, linear, ridge=ridge)
    assert fit.converged
    assert on_simplex(fit.weights)
    assert fit.relative_gap <= 1e-10
    gradient = gram @ fit.weights + ridge * fit.weights
    gap = fit.weights @ gradient - gradient.min()
    assert gap <= 1e-10 * fit.scale  # the certificate, recomputed
    assert fit.objective == pytest.approx(objective(gram, linear, ridge, fit.weights), abs=1e-12 * fit.scale)
    rng = np.random.default_rng(seed)
    for other in rng.dirichlet(np.ones(columns), size=20):
        assert fit.objective <= objective(gram, linear, ridge, other) + 1e-12 * fit.scale


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("ridge", [1e-6, 0.3])
def test_equals_enumeration_of_supports(seed, ridge):
    matrix, target = problem(seed, 3, 7)
    gram = differences_gram(matrix, target)
    fit = simplex_least_squares(gram, np.zeros(7), ridge=ridge)
    expected = by_enumeration(gram, np.zeros(7), ridge)
    np.testing.assert_allclose(fit.weights, expected, atol=1e-7)


@pytest.mark.parametrize(("rows", "columns"), [(8, 5), (20, 10), (6, 25)])
def test_is_no_worse_than_a_general_optimiser(rows, columns):
    matrix, target = problem(4, rows, columns, inside=0.0)
    gram = differences_gram(matrix, target)
    fit = simplex_least_squares(gram, np.zeros(columns), ridge=0.01)
    other = minimize(
        lambda w: objective(gram, np.zeros(columns), 0.01, w),
        np.full(columns, 1 / columns),
        jac=lambda w: gram @ w + 0.01 * w,
        bounds=[(0, 1)] * columns,
        constraints={"type": "eq", "fun": lambda w: w.sum() - 1, "jac": lambda _: np.ones(columns)},
        method="SLSQP",
        options={"ftol": 1e-14, "maxiter": 1000},
    )
    assert fit.objective <= other.fun + 1e-10
    np.testing.assert_allclose(fit.weights, other.x, atol=2e-4)


def test_linear_term_and_differences_to_the_target_are_the_same_problem():
    matrix, target = problem(11, 12, 30)
    centred = matrix - matrix.mean(axis=1, keepdims=True)
    moved = target - matrix.mean(axis=1)
    one = simplex_least_squares(differences_gram(matrix, target), np.zeros(30), ridge=0.05)
    two = simplex_least_squares(centred.T @ centred, centred.T @ moved, ridge=0.05)
    np.testing.assert_allclose(one.weights, two.weights, atol=1e-10)


@pytest.mark.parametrize("seed", range(10))
def test_warm_start_reaches_the_same_weights(seed):
    matrix, target = problem(seed, 10, 40)
    gram = differences_gram(matrix, target)
    cold = simplex_least_squares(gram, np.zeros(40), ridge=1e-3)
    start = np.random.default_rng(seed).dirichlet(np.ones(40))
    np.testing.assert_allclose(
        simplex_least_squares(gram, np.zeros(40), ridge=1e-3, start=start).weights, cold.weights, atol=1e-9
    )
    again = simplex_least_squares(gram, np.zeros(40), ridge=1e-3, start=cold.weights)
    np.testing.assert_allclose(again.weights, cold.weights, atol=1e-12)
    assert again.steps <= 2


def test_more_columns_than_rows_ridge_picks_the_smallest_weights():
    """Inside the hull many weights fit exactly; a tiny ridge gives the one with the smallest sum of squares."""
    matrix, target = problem(3, 4, 12, inside=1.0)
    gram = differences_gram(matrix, target)
    size = np.trace(gram) / 12
    fit = simplex_least_squares(gram, np.zeros(12), ridge=1e-9 * size)
    assert np.abs(matrix @ fit.weights - target).max() < 1e-6
    expected = minimize(
        lambda w: w @ w,
        fit.weights,
        jac=lambda w: 2 * w,
        bounds=[(0, 1)] * 12,
        constraints=[
            {"type": "eq", "fun": lambda w: w.sum() - 1},
            {"type": "eq", "fun": lambda w: matrix @ w - target},
        ],
        method="SLSQP",
        options={"ftol": 1e-15},
    ).x
    np.testing.assert_allclose(fit.weights, expected, atol=1e-5)


def test_order_of_columns_does_not_matter_with_a_ridge():
    matrix, target = problem(8, 5, 30, inside=1.0)
    gram = differences_gram(matrix, target)
    ridge = 1e-9 * np.trace(gram) / 30
    fit = simplex_least_squares(gram, np.zeros(30), ridge=ridge)
    order = np.random.default_rng(0).permutation(30)
    shuffled = simplex_least_squares(gram[np.ix_(order, order)], np.zeros(30), ridge=ridge)
    np.testing.assert_allclose(shuffled.weights, fit.weights[order], atol=1e-6)


def test_singular_gram_without_ridge_ends_at_an_optimum():
    matrix, target = problem(5, 3, 50, inside=1.0)
    fit = simplex_least_squares(differences_gram(matrix, target), np.zeros(50), ridge=0.0)
    assert fit.converged
    assert np.abs(matrix @ fit.weights - target).max() < 1e-7
    assert (fit.weights > 0).sum() <= 4  # an affinely independent support in three dimensions


def test_repeated_columns_share_weight_with_a_ridge():
    matrix, target = problem(6, 9, 6, inside=0.0)
    doubled = np.hstack([matrix, matrix[:, :1]])
    gram = differences_gram(doubled, target)
    fit = simplex_least_squares(gram, np.zeros(7), ridge=1e-6)
    assert fit.converged
    assert fit.weights[0] == pytest.approx(fit.weights[6], abs=1e-8)


def test_allowed_columns_only_get_weight():
    matrix, target = problem(9, 10, 20)
    gram = differences_gram(matrix, target)
    allowed = np.ones(20, dtype=bool)
    allowed[[0, 3, 17]] = False
    fit = simplex_least_squares(gram, np.zeros(20), ridge=0.1, allowed=allowed)
    smaller = simplex_least_squares(gram[np.ix_(allowed, allowed)], np.zeros(17), ridge=0.1)
    assert (fit.weights[~allowed] == 0).all()
    np.testing.assert_allclose(fit.weights[allowed], smaller.weights, atol=1e-12)


def test_dense_solutions_are_found():
    matrix, target = problem(1, 10, 300, inside=1.0)
    gram = differences_gram(matrix, target)
    fit = simplex_least_squares(gram, np.zeros(300), ridge=0.1 * np.trace(gram) / 300)
    assert fit.converged
    assert (fit.weights > 0).sum() > 200


@pytest.mark.parametrize("share", [1e-9, 1e-6, 1e-3, 0.1, 10.0])
@pytest.mark.parametrize(
    ("rows", "columns", "inside"), [(6, 150, 1.0), (6, 400, 0.0), (12, 200, 1.0), (20, 90, 1.0), (9, 300, 0.5)]
)
def test_both_searches_agree(rows, columns, inside, share):
    """The rule that picks the search must not show in the weights."""
    matrix, target = problem(13, rows, columns, inside=inside)
    distance = matrix - target[:, None]
    ridge = share * (distance**2).sum() / columns
    one = nearest_on_simplex(distance, ridge=ridge)
    two = simplex_least_squares(distance.T @ distance, np.zeros(columns), ridge=ridge)
    assert one.converged
    assert on_simplex(one.weights)
    assert one.relative_gap < 1e-12
    gradient = distance.T @ (distance @ one.weights) + ridge * one.weights
    assert one.weights @ gradient - gradient.min() <= 1e-12 * one.scale
    assert one.objective == pytest.approx(two.objective, rel=1e-9, abs=1e-14 * one.scale)
    np.testing.assert_allclose(one.weights, two.weights, atol=1e-4 if share < 1e-8 else 1e-8)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    seed=st.integers(0, 10**6),
    rows=st.integers(1, 15),
    columns=st.integers(65, 300),
    share=st.sampled_from([0.0, 1e-9, 1e-4, 0.05, 3.0]),
)
def test_many_columns_are_certified(seed, rows, columns, share):
    matrix, target = problem(seed, rows, columns)
    distance = matrix - target[:, None]
    fit = nearest_on_simplex(distance, ridge=share * (distance**2).sum() / columns)
    assert fit.converged
    assert on_simplex(fit.weights)


def test_thousands_of_columns_take_no_square_matrix_with_a_strong_ridge():
    matrix, target = problem(1, 8, 20_000, inside=1.0)
    distance = matrix - target[:, None]
    fit = nearest_on_simplex(distance, ridge=(distance**2).sum() / 20_000)
    assert fit.converged
    assert (fit.weights > 0).sum() > 1000


def test_degenerate_inputs():
    one = simplex_least_squares(np.array([[2.0]]), np.array([0.3]), ridge=0.0)
    assert one.weights.tolist() == [1.0]
    flat = simplex_least_squares(np.zeros((4, 4)), np.zeros(4), ridge=1.0)
    np.testing.assert_allclose(flat.weights, 0.25)
    zero = simplex_least_squares(np.zeros((3, 3)), np.zeros(3), ridge=0.0)
    assert zero.relative_gap == 0
    assert on_simplex(zero.weights)
    reached = simplex_least_squares(np.diag([0.0, 1.0, 2.0]), np.zeros(3), ridge=0.0)
    np.testing.assert_allclose(reached.weights, [1, 0, 0])


@pytest.mark.parametrize("factor", [1e-12, 1e12])
def test_scale_of_the_problem_does_not_matter(factor):
    matrix, target = problem(2, 12, 25)
    gram = differences_gram(matrix, target)
    fit = simplex_least_squares(gram, np.zeros(25), ridge=0.01)
    scaled = simplex_least_squares(factor * gram, np.zeros(25), ridge=factor * 0.01)
    np.testing.assert_allclose(scaled.weights, fit.weights, atol=1e-9)
    assert scaled.converged


def test_same_bytes_every_time_and_inputs_untouched():
    matrix, target = problem(7, 15, 60)
    gram = differences_gram(matrix, target)
    before = gram.tobytes()
    gram.setflags(write=False)
    fits = [simplex_least_squares(gram, np.zeros(60), ridge=1e-3) for _ in range(3)]
    assert len({fit.weights.tobytes() for fit in fits}) == 1
    assert gram.tobytes() == before
    assert pickle.loads(pickle.dumps(fits[0])).steps == fits[0].steps


def test_wrong_shapes_are_refused():
    with pytest.raises(ValueError, match="do not fit together"):
        simplex_least_squares(np.eye(3), np.zeros(2), ridge=0.0)
    with pytest.raises(ValueError, match="no column"):
        simplex_least_squares(np.eye(2), np.zeros(2), ridge=0.0, allowed=np.zeros(2, dtype=bool))
    with pytest.raises(ValueError, match="negative"):
        simplex_least_squares(np.eye(2), np.zeros(2), ridge=-1.0)


def test_frank_wolfe_reports_how_far_it_stopped():
    matrix, target = problem(12, 10, 20, inside=0.0)
    gram, linear = differences_gram(matrix, target), np.zeros(20)
    exact = simplex_least_squares(gram, linear, ridge=0.5)
    start = np.full(20, 0.05)
    short = early_stopped_simplex(gram, linear, ridge=0.5, start=start, min_decrease=0.0, max_steps=5)
    long = early_stopped_simplex(gram, linear, ridge=0.5, start=start, min_decrease=0.0, max_steps=5000)
    assert short.steps == 5
    assert not short.converged
    for fit in (short, long):
        assert on_simplex(fit.weights)
        assert fit.objective == pytest.approx(objective(gram, linear, 0.5, fit.weights), rel=1e-10)
        assert exact.objective <= fit.objective + 1e-12
        assert fit.objective - exact.objective <= fit.gap + 1e-9  # the gap is an upper bound
    assert long.gap < short.gap
    stopped = early_stopped_simplex(gram, linear, ridge=0.5, start=start, min_decrease=1e9, max_steps=5000)
    assert stopped.steps == 2  # at least two steps, then the first small decrease ends it


def test_module_does_not_load_the_compiler_until_it_is_needed():
    code = "import sys, groupeffect.numerics.simplex; sys.exit('numba' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0

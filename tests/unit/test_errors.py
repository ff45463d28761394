"""The tree of errors: every one explains itself and survives a pickle."""

import inspect
import pickle

import pytest

from groupeffect import errors
from groupeffect.errors import GroupEffectError, GroupEffectWarning, PanelError, Violation

KINDS = [getattr(errors, name) for name in errors.__all__ if name != "Violation"]


def test_all_public_errors_are_listed():
    defined = {
        name
        for name, value in vars(errors).items()
        if inspect.isclass(value) and value.__module__ == errors.__name__ and not name.startswith("_")
    }
    assert defined == set(errors.__all__)
    assert errors.__all__ == sorted(errors.__all__)


@pytest.mark.parametrize("kind", KINDS)
def test_one_tree(kind):
    assert issubclass(kind, GroupEffectError if kind.__name__.endswith("Error") else GroupEffectWarning)
    assert kind.__doc__


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind.__name__.endswith("Error")])
def test_survives_a_pickle(kind):
    violation = Violation("rule", "two rows", 2, ({"unit": 3},), "look")
    error = pickle.loads(pickle.dumps(kind("found", hint="do", violations=(violation,))))
    assert type(error) is kind
    assert (error.message, error.hint, error.violations) == ("found", "do", (violation,))


def test_message_has_every_violation_and_the_hint():
    rows = ({"school": "a", "year": 2003}, {"school": "b", "year": 2004})
    text = str(
        PanelError(
            "Two rules are broken.",
            hint="Repair the file.",
            violations=(Violation("one", "first", 2, rows, "merge them"), Violation("two", "second")),
        )
    )
    assert text.splitlines() == [
        "Two rules are broken.",
        "[one] first",
        "    school='a', year=2003",
        "    school='b', year=2004",
        "    what to do: merge them",
        "[two] second",
        "What to do: Repair the file.",
    ]

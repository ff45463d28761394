import pytest
from hypothesis import given
from hypothesis import strategies as st

from groupeffect.report.numbers import NumberBook, decimals_for, format_number


@pytest.mark.parametrize(
    ("value", "kind", "en", "zh"),
    [
        (0.0812, "effect", "0.08", "0.08"),
        (-0.055, "effect", "−0.06", "−0.06"),
        (-0.001, "effect", "0.00", "0.00"),
        (1234567, "count", "1,234,567", "1,234,567"),
        (2025, "year", "2025", "2025"),
        (0.424, "percent", "42%", "42%"),
        (0.95, "level", "95%", "95%"),
        (-3, "count", "−3", "−3"),
    ],
)
def test_each_language_writes_numbers_its_way(value, kind, en, zh):
    assert format_number(value, kind, "en") == en
    assert format_number(value, kind, "zh") == zh


@pytest.mark.parametrize(
    ("values", "thresholds", "expected"),
    [
        ((0.08, 0.04, 0.12), (0.0, 0.05, -0.05), 2),
        ((0.08, 0.004, 0.12), (0.0, 0.05, -0.05), 3),  # 0.004 would become 0.00
        ((0.08, 0.0004, 0.12), (0.0,), 4),
        ((0.08, 0.00001, 0.12), (0.0,), 4),  # the most that is shown
        ((0.02, -0.01, 0.0496), (0.0, 0.05), 4),  # 0.0496 would become 0.05 and 0.050
        ((0.02, -0.01, 0.05), (0.0, 0.05), 2),  # already on the threshold
        ((0.0, 0.05), (0.0, 0.05), 2),
    ],
)
def test_rounding_never_moves_a_number_onto_a_threshold(values, thresholds, expected):
    assert decimals_for(values, thresholds) == expected


@given(st.floats(-0.3, 0.3).filter(lambda value: abs(value) > 1e-4), st.sampled_from((0.0, 0.05, -0.05)))
def test_shown_numbers_keep_their_side_of_a_threshold(value, threshold):
    if 0 < abs(value - threshold) < 1e-4:
        return
    shown = round(value, decimals_for((value,), (threshold,)))
    assert (shown > threshold) == (value > threshold)
    assert (shown < threshold) == (value < threshold)


def test_numbers_get_ids_in_order_and_keep_their_source():
    book = NumberBook()
    first = book.add(0.1, "effect", source="a.json#0")
    second, third = book.effects((0.2, 0.004), thresholds=(0.0,), source="b.json#1")
    assert [number.id for number in (first, second, third)] == ["n1", "n2", "n3"]
    assert (second.text("en"), third.text("en")) == ("0.200", "0.004")
    assert book.numbers == (first, second, third)
    assert third.source == "b.json#1"

from __future__ import annotations

import numpy as np
import pytest

from gdw_tf.checks import (
    check_boolean,
    check_directory,
    check_integer,
    check_labels,
    check_number,
    check_rate,
    is_printable,
    one_line,
)


@pytest.mark.parametrize("value", [3, np.int64(3), np.uint8(3)])
def test_integers_of_any_type_become_python_integers(value):
    checked = check_integer("size", value, 1)
    assert checked == 3
    assert type(checked) is int


@pytest.mark.parametrize("value", [1.0, "1", None, True])
def test_what_is_no_integer_is_named(value):
    with pytest.raises(TypeError, match=r"size must be an integer. Received: size=.*; allowed: 1"):
        check_integer("size", value, 1)


@pytest.mark.parametrize("value", [0, 5])
def test_an_integer_out_of_range_is_named_with_the_range(value):
    with pytest.raises(ValueError, match=f"Received: size={value}; allowed: 1 to 4"):
        check_integer("size", value, 1, 4)


@pytest.mark.parametrize("value", [-0.5, 1.0, float("nan")])
def test_a_number_out_of_range_is_named_with_the_range(value):
    check_number("beta", 0, 0.0, below=1.0)
    check_number("beta", 0.999, 0.0, below=1.0)
    with pytest.raises(ValueError, match=f"Received: beta={value}; allowed: 0 to below 1"):
        check_number("beta", value, 0.0, below=1.0)


@pytest.mark.parametrize(
    ("limits", "values", "allowed"),
    [
        ({"minimum": 0.0, "exclusive": True}, (0, -1, float("inf")), "numbers above 0, and finite"),
        ({"minimum": 0.0, "exclusive": True, "maximum": 1.0}, (0, 1.1), "above 0, up to 1"),
        ({"minimum": 0.0, "exclusive": True, "below": 1.0}, (0, 1), "above 0, below 1"),
        ({"minimum": 2.0, "maximum": 3.0}, (1.9, 3.1), "2 to 3"),
        ({"below": 0.0}, (0, -float("inf")), "below 0, and finite"),
    ],
)
def test_a_range_has_limits_of_all_kinds(limits, values, allowed):
    inside = (limits.get("minimum", -9.0) + limits.get("maximum", limits.get("below", 9.0))) / 2
    check_number("it", inside, **limits)
    for value in values:
        with pytest.raises(ValueError, match=f"Received: it={value}; allowed: {allowed}.$"):
            check_number("it", value, **limits)


@pytest.mark.parametrize("value", [-0.1, 1.1, float("nan")])
def test_a_rate_outside_0_to_1_is_an_error(value):
    with pytest.raises(ValueError, match=f"Received: rate={value}; allowed: 0 to 1"):
        check_rate("rate", value)


def test_labels_become_int64():
    checked = check_labels("y", np.array([2, 0], dtype=np.uint8), 3)
    assert checked.dtype == np.int64
    assert checked.tolist() == [2, 0]


@pytest.mark.parametrize(
    ("labels", "error", "message"),
    [
        ([], ValueError, "shape"),
        ([[0, 1]], ValueError, r"shape \(1, 2\)"),
        ([0.0, 1.0], TypeError, "dtype float64"),
        ([True, False], TypeError, "dtype bool"),
        ([0, 3], ValueError, "labels from 0 to 3; allowed: 0 to 2"),
        ([-1, 2], ValueError, "labels from -1 to 2; allowed: 0 to 2"),
    ],
)
def test_labels_that_are_no_class_indices_are_errors(labels, error, message):
    with pytest.raises(error, match=message):
        check_labels("y", labels, 3)


@pytest.mark.parametrize("value", [float("inf"), -float("inf"), float("nan")])
def test_an_infinite_number_is_none(value):
    with pytest.raises(ValueError, match=f"Received: rate={value}; allowed: numbers from 0, and"):
        check_number("rate", value, 0.0)


@pytest.mark.parametrize("value", ["0.5", None, True, [0.5]])
def test_what_is_no_rate_is_named(value):
    with pytest.raises(TypeError, match="rate must be a number. Received: rate="):
        check_rate("rate", value)


def test_booleans_of_any_type_become_python_booleans():
    assert check_boolean("balanced", np.bool_(True)) is True
    for value in (1, "yes", None):
        with pytest.raises(TypeError, match="Received: balanced=.*; allowed: True, False"):
            check_boolean("balanced", value)


@pytest.mark.parametrize("text", ["", "a b", "naïve", "猫", "a\u200dz"])
def test_text_of_one_line_is_printable(text):
    assert is_printable(text)


@pytest.mark.parametrize("text", ["a\nb", "\x1b[31m", "a\tb", "\u2028", "\udcff", "\0"])
def test_what_breaks_a_line_or_a_terminal_is_not(text):
    assert not is_printable(text)
    assert is_printable(one_line(text))


def test_an_error_of_many_lines_becomes_one():
    assert one_line("\x1b[1mWrong\x1b[0m:\n\n  shape\x07") == "Wrong: shape?"
    assert one_line("x" * 400, length=10) == "xxxxxxx..."


def test_a_directory_must_be_one_or_able_to_become_one(tmp_path):
    check_directory("out", tmp_path)
    check_directory("out", tmp_path / "new" / "newer")
    (tmp_path / "file").touch()
    for path in (tmp_path / "file", tmp_path / "file" / "new"):
        with pytest.raises(ValueError, match=f"Received: out={path}; .*file is none"):
            check_directory("out", path)

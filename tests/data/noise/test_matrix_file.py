from __future__ import annotations

import numpy as np
import pytest

from gdw_tf.data.noise import read_matrix

MATRIX = np.array([[0.5, 0.25, 0.25], [0.0, 1.0, 0.0], [0.125, 0.0, 0.875]])


def test_an_array_file_is_read(tmp_path):
    np.save(tmp_path / "matrix.npy", MATRIX.astype(np.float32))
    read = read_matrix(tmp_path / "matrix.npy", 3)
    assert read.dtype == np.float64
    np.testing.assert_array_equal(read, MATRIX)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("matrix.csv", "0.5,0.25,0.25\n0,1,0\n.125, 0, 8.75e-1\n"),
        ("matrix.txt", "# by true class\n0.5 0.25 0.25\n\n0\t1\t0\n0.125 0 0.875"),
    ],
)
def test_text_is_read(name, text, tmp_path):
    (tmp_path / name).write_text(text)
    np.testing.assert_array_equal(read_matrix(str(tmp_path / name), 3), MATRIX)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("matrix.csv", b"0.5,0.5\n0.1,0.8\n", "a sum of 0.9.* in row 1"),
        ("matrix.csv", b"1.5,-0.5\n0,1\n", "an entry of -0.5"),
        ("matrix.csv", b"nan,1\n0,1\n", "an entry of nan"),
        ("matrix.csv", b"1,0,0\n0,1,0\n", r"shape \(2, 3\)"),
        ("matrix.csv", b"1,0,0\n0,1,0\n0,0,1\n", r"shape \(3, 3\); allowed: \(2, 2\)"),
        ("matrix.csv", b"1,0\n0\n", "matrix.csv"),
        ("matrix.csv", b"cat,dog\n1,0\n0,1\n", "cat"),
        ("matrix.csv", b"", r"shape \(0, 1\)"),
        ("matrix.txt", b"\xff\xfe\x00", "matrix.txt"),
        ("matrix.npy", b"no array", "matrix.npy"),
        ("matrix.npy", b"", "matrix.npy"),
        ("matrix.json", b"[]", "allowed: .npy, .csv, .txt"),
    ],
)
def test_what_is_no_transition_matrix_is_an_error(name, content, message, tmp_path):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=message):
        read_matrix(tmp_path / name, 2)


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.array([["a", "b"], ["c", "d"]]), "dtype <U1"),
        (np.eye(2, dtype=complex), "dtype complex128"),
        (np.eye(2)[0], r"shape \(2,\)"),
    ],
)
def test_an_array_of_something_else_is_an_error(array, message, tmp_path):
    np.save(tmp_path / "matrix.npy", array)
    with pytest.raises(ValueError, match=message):
        read_matrix(tmp_path / "matrix.npy", 2)


def test_nothing_is_unpickled(tmp_path):
    class Trap:
        def __reduce__(self):
            return (tmp_path.joinpath("sprung").touch, ())

    np.save(tmp_path / "matrix.npy", np.array([[Trap(), 0], [0, 1]], dtype=object))
    with pytest.raises(ValueError, match="matrix.npy"):
        read_matrix(tmp_path / "matrix.npy", 2)
    assert not (tmp_path / "sprung").exists()


def test_a_file_that_is_not_there_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError, match="matrix.csv"):
        read_matrix(tmp_path / "matrix.csv", 2)

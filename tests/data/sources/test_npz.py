from __future__ import annotations

import io
import zipfile

import numpy as np
import pytest

from gdw_tf import data


def arrays(**changes):
    random_state = np.random.RandomState(0)
    given = {
        name: random_state.randint(256, size=(size, 6, 8, 3)).astype(np.uint8)
        for name, size in (("x", 9), ("x_meta", 3), ("x_test", 6))
    }
    for name in ("", "_meta", "_test"):
        given[f"y{name}"] = (np.arange(len(given[f"x{name}"])) % 3).astype(np.int32)
    return {**given, **changes}


@pytest.fixture
def write(tmp_path):
    def write_file(**changes) -> str:
        given = {name: array for name, array in arrays(**changes).items() if array is not None}
        np.savez(tmp_path / "own.npz", **given)
        return str(tmp_path / "own.npz")

    return write_file


def test_an_archive_comes_as_it_is(write):
    source, given = data.load("npz", data_file=write()), arrays()
    for part, suffix in (("train", ""), ("meta", "_meta"), ("test", "_test")):
        np.testing.assert_array_equal(getattr(source, f"x_{part}"), given[f"x{suffix}"])
        np.testing.assert_array_equal(getattr(source, f"y_{part}"), given[f"y{suffix}"])
        assert getattr(source, f"y_{part}").dtype == np.int64
    assert source.class_names == ("0", "1", "2")
    np.testing.assert_allclose(source.mean, given["x"].reshape(-1, 3).mean(axis=0))
    assert not source.labels_are_true


def test_an_archive_may_have_no_clean_set(write):
    source = data.load("npz", data_file=write(x_meta=None, y_meta=None))
    assert (source.x_meta, source.y_meta, len(source.x_train)) == (None, None, 9)


def test_classes_may_have_names(write):
    names = ["cat", "dog", "naïve"]
    assert data.load("npz", data_file=write(class_names=names)).class_names == tuple(names)


def test_classes_without_names_are_not_taken_for_those_that_numbers_name(write):
    x, y = np.zeros((40, 8, 8, 3), np.uint8), np.arange(40) % 10
    x[:, 0, 0, 0] = np.arange(40)
    sets = {"x": x, "y": y, "x_meta": x, "y_meta": y, "x_test": x, "y_test": y}
    mistaken = {"noise": "asymmetric", "noise_rate": 0.4, "num_meta": None}
    digits = data.load("npz", data_file=write(**sets, class_names=list("0123456789")))
    assert data.prepare(digits, **mistaken).transition_matrix[7, 1] == 0.4
    unnamed = data.load("npz", data_file=write(**sets))
    with pytest.raises(ValueError, match="Asymmetric noise is not defined for these classes"):
        data.prepare(unnamed, **mistaken)


@pytest.mark.parametrize(
    "names", [["cat", "dog"], ["cat", "cat", "dog"], ["cat", "dog", "a\nb"], [1, 2, 3]]
)
def test_names_must_be_one_for_each_class(names, write):
    with pytest.raises(ValueError, match="class_names must be .*; allowed: 3 strings"):
        data.load("npz", data_file=write(class_names=names))


def test_grey_images_get_a_channel_and_images_are_resized(write):
    grey = {name: arrays()[name][..., 0] for name in ("x", "x_meta", "x_test")}
    assert data.load("npz", data_file=write(**grey)).image_shape == (6, 8, 1)
    flat = {name: np.full((1000, 6, 8), 9, np.uint8)[: len(grey[name])] for name in grey}
    source = data.load("npz", data_file=write(**flat), image_size=(3, 4))
    np.testing.assert_array_equal(source.x_train, np.full((9, 3, 4, 1), 9))


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"y_meta": None}, ValueError, "Received: .*; missing: y_meta."),
        ({"x": np.zeros((9, 6, 8, 3))}, ValueError, "x must be images. Received: float64"),
        ({"x_meta": np.zeros((0, 6, 8, 3), np.uint8)}, ValueError, r"x_meta .* shape \(0, 6"),
        ({"x_test": np.zeros((6, 8, 8, 3), np.uint8)}, ValueError, "must be of one shape"),
        ({"y": np.arange(9) - 1}, ValueError, "labels from -1 to 7"),
        ({"y": np.arange(9.0)}, TypeError, "y must be class indices"),
        ({"y": np.zeros(9, int)}, ValueError, "no training image. Received: class 1;"),
        ({"y": np.arange(9).astype(object)}, ValueError, "cannot be read.*Object arrays cannot be"),
        ({"y": np.full(9, np.nan)}, TypeError, "y must be class indices. Received: dtype float64"),
        ({"y": np.array(list("abcabcabc"))}, TypeError, "y must be class indices"),
        ({"y": np.eye(9, dtype=int)}, ValueError, r"one class index an example.*shape \(9, 9\)"),
        ({"y": np.int64(3)}, ValueError, r"one class index an example. Received: shape \(\)"),
        ({"y": np.array([*range(8), 10**12])}, ValueError, "to 1000000000000; allowed: 0 to 8"),
        ({"y_test": np.array([*range(5), 10**12])}, ValueError, "y_test holds .*allowed: 0 to 2"),
        ({"x": np.zeros((9, 6, 8, 0), np.uint8)}, ValueError, r"x must be images.*\(9, 6, 8, 0\)"),
    ],
)
def test_an_archive_that_is_not_as_it_should_be_is_an_error(changes, error, message, write):
    with pytest.raises(error, match=message) as raised:
        data.load("npz", data_file=write(**changes))
    assert "\n" not in str(raised.value)


def test_an_archive_that_is_damaged_is_an_error(tmp_path):
    path = tmp_path / "own.npz"
    np.savez_compressed(path, **arrays())
    whole = bytearray(path.read_bytes())
    whole[500:600] = bytes(100)
    path.write_bytes(whole)
    with pytest.raises(ValueError, match="cannot be read. Received: .*own.npz: "):
        data.load("npz", data_file=str(path))

    header = io.BytesIO()
    shape = (10**12, 6, 8, 3)
    np.lib.format.write_array_header_1_0(
        header, {"descr": "|u1", "fortran_order": False, "shape": shape}
    )
    with zipfile.ZipFile(path, "w") as archive:
        for name in arrays():
            archive.writestr(f"{name}.npy", header.getvalue())
    with pytest.raises(ValueError, match="own.npz: Unable to allocate"):
        data.load("npz", data_file=str(path))

    with zipfile.ZipFile(path, "w") as archive:
        for name in arrays():
            archive.writestr(name, b"no array")
    with pytest.raises(ValueError, match="x must be images. Received: .S8"):
        data.load("npz", data_file=str(path))


def test_a_file_that_is_no_archive_is_an_error(tmp_path):
    (tmp_path / "text.npz").write_text("x,y")
    np.save(tmp_path / "array.npy", np.zeros(3))
    for name in ("text.npz", "array.npy"):
        with pytest.raises(ValueError, match="no archive of numpy.savez"):
            data.load("npz", data_file=str(tmp_path / name))
    with pytest.raises(FileNotFoundError, match=r"nowhere\.npz"):
        data.load("npz", data_file=str(tmp_path / "nowhere.npz"))
    with pytest.raises(ValueError, match="npz needs a file"):
        data.load("npz")

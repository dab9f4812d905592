from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from gdw_tf.data import NoisyData, figures
from gdw_tf.data.images import ImageFiles

NAMES = ("cat", "dog", "cow")


def make_data(count=300, channels=3, **changes) -> NoisyData:
    """Every image is one colour, by which it can be known again."""
    true = np.arange(count) % 3
    numbers = np.arange(count) % 256
    images = np.broadcast_to(numbers[:, None, None, None], (count, 4, 5, channels))
    data = NoisyData(
        x_train=images.astype(np.uint8),
        y_train=np.where(np.arange(count) % 4 == 0, (true + 1) % 3, true),
        y_true=true,
        x_meta=np.zeros((3, 4, 5, channels), np.uint8),
        y_meta=np.arange(3),
        y_meta_true=np.arange(3),
        x_test=np.zeros((3, 4, 5, channels), np.uint8),
        y_test=np.arange(3),
        num_classes=3,
        class_names=NAMES,
        transition_matrix=np.eye(3),
    )
    return dataclasses.replace(data, **changes)


def test_the_histogram_has_bars_for_true_classes_and_labels_given():
    data = make_data(11)
    (axes,) = figures.class_histogram(data).axes
    heights = [[bar.get_height() for bar in bars] for bars in axes.containers]
    assert heights == [[4, 4, 3], np.bincount(data.y_train).tolist()]
    assert [label.get_text() for label in axes.get_xticklabels()] == list(NAMES)


def test_without_true_classes_the_histogram_shows_the_labels_given():
    data = make_data(11, y_true=None)
    (axes,) = figures.class_histogram(data).axes
    (bars,) = axes.containers
    assert [bar.get_height() for bar in bars] == np.bincount(data.y_train).tolist()


def test_the_matrix_is_the_realised_one_in_percent():
    data = make_data(12)  # of each class one of four labels is wrong
    axes = figures.noise_matrix(data).axes[0]
    expected = 0.75 * np.eye(3) + 0.25 * np.roll(np.eye(3), 1, axis=1)
    np.testing.assert_allclose(axes.images[0].get_array(), expected)
    texts = {text.get_position(): text.get_text() for text in axes.texts}
    assert texts == {
        (column, row): f"{100 * expected[row, column]:.0f}"
        for row, column in zip(*np.nonzero(expected), strict=True)
    }


@pytest.mark.parametrize("channels", [1, 3])
def test_the_sheet_marks_wrong_labels(channels):
    data = make_data(60, channels)
    cells = figures.contact_sheet(data, seed=0).axes
    assert len(cells) == 60
    seen = []
    for cell in cells:
        pixels = cell.images[0].get_array()
        assert pixels.shape[:2] == (4, 5)
        number = int(pixels.flat[0])
        given, true = NAMES[data.y_train[number]], NAMES[data.y_true[number]]
        wrong = given != true
        assert cell.get_title() == (f"{given}\n(is {true})" if wrong else given)
        assert (cell.title.get_color() == "tab:red") == wrong
        assert cell.axison == wrong
        seen.append(number)
    assert sorted(seen) == list(range(60))
    assert np.all(np.diff(data.y_true[seen]) >= 0)


def test_a_small_set_leaves_cells_empty():
    cells = figures.contact_sheet(make_data(7), seed=0).axes
    assert [len(cell.images) for cell in cells] == [1] * 7 + [0] * 53


def test_the_sheet_is_a_draw_by_seed():
    def shown(seed):
        cells = figures.contact_sheet(make_data(), seed).axes
        return [int(cell.images[0].get_array().flat[0]) for cell in cells]

    assert shown(0) == shown(0)
    assert shown(0) != shown(1)


def test_where_the_truth_is_not_known_nothing_is_marked():
    cells = figures.contact_sheet(make_data(60, y_true=None), seed=0).axes
    assert {cell.title.get_color() for cell in cells} == {"black"}


def test_images_in_files_are_shown(tmp_path):
    from PIL import Image

    for number in range(3):
        Image.new("RGB", (5, 4), (number, 9, 9)).save(tmp_path / f"{number}.png")
    files = ImageFiles(tmp_path, [f"{number}.png" for number in range(3)], (4, 5))
    data = make_data(3, x_train=files)
    cells = figures.contact_sheet(data, seed=0).axes
    assert [int(cell.images[0].get_array()[0, 0, 0]) for cell in cells[:3]] == [0, 1, 2]


def test_many_classes_get_no_numbers_and_no_endless_picture():
    labels = np.arange(300)
    names = tuple(map(str, labels))
    changes = {"y_true": labels, "y_train": labels, "num_classes": 300, "class_names": names}
    matrix, histogram = (
        draw(make_data(300, **changes)) for draw in (figures.noise_matrix, figures.class_histogram)
    )
    assert not matrix.axes[0].texts
    assert max(*matrix.get_size_inches(), *histogram.get_size_inches()) <= 25


def test_long_names_are_cut():
    names = ("a class name that has no room", "sixteen letters.", "cow")
    short = ("a class name th…", "sixteen letters.", "cow")
    data = make_data(60, class_names=names)
    for axes in (figures.class_histogram(data).axes[0], figures.noise_matrix(data).axes[0]):
        assert tuple(label.get_text() for label in axes.get_xticklabels()) == short
    titles = {cell.get_title() for cell in figures.contact_sheet(data, seed=0).axes}
    assert {short[0], f"{short[1]}\n(is {short[0]})"} <= titles


def test_a_missing_matplotlib_is_said(monkeypatch):
    monkeypatch.setattr(figures.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ValueError, match=r"pip install .gdw_tf\[report\]"):
        figures.check_matplotlib()


@pytest.mark.parametrize("name", ["$x^$", "a $ b", "$", r"\$_{$", "<b>cat</b>"])
def test_names_of_classes_are_no_formulas(name, tmp_path):
    data = make_data(12, class_names=(name, "dog", "cow"))
    for number, figure in enumerate(
        (figures.class_histogram(data), figures.noise_matrix(data), figures.contact_sheet(data, 0))
    ):
        figure.savefig(tmp_path / f"{number}.png")  # reads the text

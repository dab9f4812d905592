"""Verified labels: read from a table, moved to the meta set."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from gdw_tf import data
from gdw_tf.data.verified import Verified, image_name, read_verified, with_verified


@pytest.fixture
def noisy():
    return data.prepare(
        data.load("digits"), num_meta=20, noise="uniform", noise_rate=0.4, train_examples=50
    )


@pytest.fixture
def table(tmp_path):
    def write(text):
        path = tmp_path / "decisions.csv"
        path.write_text(text)
        return str(path)

    return write


def test_verified_images_move_to_the_meta_set_with_their_labels(noisy, table):
    truth = noisy.y_true
    path = table(f"index,decision,label\n7,accept,{truth[7]}\n2,keep,{truth[2]}\n")
    moved = with_verified(noisy, read_verified(path, noisy))
    np.testing.assert_array_equal(moved.x_meta, [*noisy.x_meta, *noisy.x_train[[7, 2]]])
    np.testing.assert_array_equal(moved.y_meta, [*noisy.y_meta, *truth[[7, 2]]])
    left = np.delete(np.arange(50), [2, 7])
    np.testing.assert_array_equal(moved.x_train, noisy.x_train[left])
    np.testing.assert_array_equal(moved.y_train, noisy.y_train[left])
    np.testing.assert_array_equal(moved.y_true, truth[left])
    assert moved.meta_noise_rate == 0


def test_images_keep_their_numbers_in_the_next_round(noisy, table):
    first = with_verified(noisy, read_verified(table("index,label\n0,3\n5,1\n"), noisy))
    np.testing.assert_array_equal(first.numbers[:4], [1, 2, 3, 4])
    second = with_verified(first, read_verified(table("index,label\n6,8\n"), first))
    np.testing.assert_array_equal(second.x_meta[-1], noisy.x_train[6])
    assert second.y_meta.tolist()[-3:] == [3, 1, 8]
    with pytest.raises(ValueError, match="Received: '5'.*not in the meta set already"):
        read_verified(table("index,label\n5,1\n"), first)


def test_a_wrong_decision_is_a_wrong_meta_label(noisy):
    wrong = (noisy.y_true[:4] + 1) % 10
    moved = with_verified(noisy, Verified(np.arange(4), wrong))
    assert moved.meta_noise_rate == pytest.approx(4 / 24)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "index,decision\n1,keep\n",
            "columns index and label, each once. Received: .*decision",
        ),
        ("index,label,label\n1,2,3\n", "each once. Received: .*index, label, label"),
        ("index,label\n1,cat, big\n", "more fields than the header. Received: line 2"),
        ("index,label\n50,1\n", "Received: '50' in line 2 of .*; allowed: 0 to 49"),
        ("index,label\n-1,1\n", "Received: '-1'"),
        ("index,label\n1,ten\n", "A label must be a class. Received: 'ten' in line 2 .*allowed: 0"),
        ("index,label\n1,1\n1,2\n", "named twice. Received: index 1 again in line 3"),
        ("index,label\n1\n", "Received: ''"),
        ("", "Received: .* with no header"),
    ],
)
def test_a_table_that_cannot_be_taken_is_told_in_one_line(text, message, noisy, table):
    with pytest.raises(ValueError, match=message) as caught:
        read_verified(table(text), noisy)
    assert "\n" not in str(caught.value)


def test_a_table_of_another_training_set_is_told_by_its_given_labels(noisy, table):
    other = (noisy.y_train[0] + 1) % 10
    with pytest.raises(ValueError, match=f"another training set. Received: given label '{other}'"):
        read_verified(table(f"index,given,label\n0,{other},1\n"), noisy)


def test_an_image_is_found_by_its_name_where_its_number_has_changed(noisy, table):
    # As if two images before it had gone since.
    path = table(f"index,image,label\n9,{image_name(noisy.x_train, 7)},3\n")
    assert read_verified(path, noisy).positions.tolist() == [7]
    with pytest.raises(ValueError, match="one of the training set. Received: '0123456789abcdef'"):
        read_verified(table("index,image,label\n9,0123456789abcdef,3\n"), noisy)


@pytest.fixture
def repeated(noisy):
    """Image 3 is there three times, with the labels 1, 2 and 1."""
    x, y = noisy.x_train.copy(), noisy.y_train.copy()
    x[[8, 9]], y[[3, 8, 9]] = x[3], (1, 2, 1)
    return dataclasses.replace(noisy, x_train=x, y_train=y)


def test_of_images_of_one_name_that_with_the_label_given_is_meant(repeated, table):
    name = image_name(repeated.x_train, 3)
    text = "".join(f"40,{name},{given},5\n" for given in (2, 1, 1))
    path = table(f"index,image,given,label\n{text}")
    assert read_verified(path, repeated).positions.tolist() == [8, 3, 9]
    assert read_verified(table(f"index,image,label\n40,{name},5\n"), repeated).positions == [3]
    with pytest.raises(ValueError, match="another training set. Received: given label '7'"):
        read_verified(table(f"index,image,given,label\n40,{name},7,5\n"), repeated)


def test_copies_of_a_verified_image_are_not_trained_on(repeated, table):
    moved = with_verified(repeated, read_verified(table("index,label\n8,5\n"), repeated))
    np.testing.assert_array_equal(moved.numbers, np.delete(np.arange(50), [3, 8, 9]))
    assert len(moved.y_train) == 47 and len(moved.y_meta) == 21
    np.testing.assert_array_equal(moved.x_meta[-1], repeated.x_train[8])


def test_a_file_goes_by_its_path(tmp_path):
    files = data.ImageFiles(tmp_path, ["a/0.png", "a, b/1.png"], (8, 8))
    assert image_name(files, 1) == "a, b/1.png"


def test_a_file_whose_path_nothing_can_print_goes_by_its_digest(tmp_path, noisy, table):
    files = data.ImageFiles(tmp_path, ["caf\udce9.png", *map(str, range(49))], (8, 8))
    name = image_name(files, 0)
    assert len(name) == 16 and name.isalnum()
    of_files = dataclasses.replace(noisy, x_train=files)
    path = table(f"index,image,label\n7,{name},3\n")
    assert read_verified(path, of_files).positions.tolist() == [0]


def test_a_table_of_a_spreadsheet_program_can_be_read(noisy, tmp_path):
    path = tmp_path / "decisions.csv"
    path.write_bytes(b'\xef\xbb\xbfindex,label\r\n"4","7"\r\n')
    assert read_verified(str(path), noisy).labels.tolist() == [7]


def test_some_images_must_be_left_to_train_on(noisy):
    with pytest.raises(ValueError, match="leave none to train on. Received: 50 of 50"):
        with_verified(noisy, Verified(np.arange(50), noisy.y_true))

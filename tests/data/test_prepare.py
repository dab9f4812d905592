from __future__ import annotations

import dataclasses
import hashlib
import warnings

import numpy as np
import pytest

from gdw_tf.data import NoisyData, Source, prepare
from gdw_tf.data.noise import corrupt_by_instance, transition_matrix
from gdw_tf.data.random import generator

NUM_CLASSES = 10
PER_CLASS = 60
TOTAL = NUM_CLASSES * PER_CLASS


def make_source(**changes) -> Source:
    """Each image carries its own number in its two pixels, so that it can be found again."""
    numbers = np.arange(TOTAL)
    pixels = np.stack([numbers // 256, numbers % 256], axis=1).astype(np.uint8)
    source = Source(
        name="numbers",
        x_train=pixels.reshape(-1, 1, 2, 1),
        y_train=numbers * 7 % NUM_CLASSES,
        x_test=np.full((20, 1, 2, 1), 9, np.uint8),
        y_test=np.arange(20) % NUM_CLASSES,
        class_names=tuple("abcdefghij"),
        mean=(1.0,),
        std=(1.0,),
        augment=False,
    )
    return dataclasses.replace(source, **changes)


def numbers_of(images: np.ndarray) -> np.ndarray:
    pixels = images.reshape(-1, 2).astype(np.int64)
    return pixels[:, 0] * 256 + pixels[:, 1]


def arrays_of(data: NoisyData) -> dict[str, np.ndarray]:
    return {k: v for k, v in vars(data).items() if isinstance(v, np.ndarray)}


def test_images_and_labels_stay_together():
    source = make_source()
    data = prepare(
        source, num_meta=50, noise="flip", noise_rate=0.3, imbalance_factor=0.2, train_examples=400
    )
    np.testing.assert_array_equal(data.y_true, source.y_train[numbers_of(data.x_train)])
    np.testing.assert_array_equal(data.y_meta, source.y_train[numbers_of(data.x_meta)])
    np.testing.assert_array_equal(data.x_test, source.x_test)
    np.testing.assert_array_equal(data.y_test, source.y_test)
    assert data.num_classes == NUM_CLASSES
    assert data.class_names == source.class_names
    np.testing.assert_array_equal(data.transition_matrix, transition_matrix("flip", 10, 0.3))
    for name, array in arrays_of(data).items():
        expected = np.float64 if name == "transition_matrix" else np.uint8
        assert array.dtype == (np.int64 if name.startswith("y_") else expected)


def with_clean_set(**changes) -> Source:
    """A source whose labels are not known to be true, and with a clean set of its own."""
    numbers = np.arange(TOTAL, TOTAL + 40)
    pixels = np.stack([numbers // 256, numbers % 256], axis=1).astype(np.uint8)
    clean = {"x_meta": pixels.reshape(-1, 1, 2, 1), "y_meta": np.arange(40) * 3 % NUM_CLASSES}
    return make_source(labels_are_true=False, **{**clean, **changes})


def test_a_clean_set_of_its_own_is_the_meta_set():
    source = with_clean_set()
    data = prepare(source, num_meta=None)
    np.testing.assert_array_equal(data.x_meta, source.x_meta)
    np.testing.assert_array_equal(data.y_meta, source.y_meta)
    np.testing.assert_array_equal(data.x_train, source.x_train)
    np.testing.assert_array_equal(data.y_train, source.y_train)
    chosen = prepare(source, num_meta=20, train_examples=TOTAL)
    assert np.bincount(chosen.y_meta).tolist() == [2] * NUM_CLASSES
    assert len(np.unique(numbers_of(chosen.x_meta))) == 20
    np.testing.assert_array_equal(chosen.y_meta, source.y_meta[numbers_of(chosen.x_meta) - TOTAL])
    assert len(chosen.x_train) == TOTAL


def test_labels_that_are_not_known_to_be_true_have_no_noise_rate():
    data = prepare(with_clean_set(), num_meta=None)
    assert (data.y_true, data.noise_rate, data.noise_counts) == (None, None, None)
    assert data.class_counts == [60] * NUM_CLASSES
    # Whoever draws noise for them takes them for true.
    noisy = prepare(with_clean_set(), num_meta=None, noise="flip", noise_rate=1.0)
    np.testing.assert_array_equal(noisy.y_true, make_source().y_train)
    assert noisy.noise_rate == 1


def test_labels_that_people_gave_are_trained_on():
    given = np.arange(TOTAL) * 3 % NUM_CLASSES
    source = make_source(y_given=given)
    data = prepare(source, num_meta=50, train_examples=300, imbalance_factor=0.5)
    np.testing.assert_array_equal(data.y_train, given[numbers_of(data.x_train)])
    np.testing.assert_array_equal(data.y_true, source.y_train[numbers_of(data.x_train)])
    np.testing.assert_array_equal(data.y_meta, source.y_train[numbers_of(data.x_meta)])
    flipped = prepare(source, num_meta=50, noise="flip", noise_rate=1.0)
    target = np.argmax(flipped.transition_matrix, axis=1)
    np.testing.assert_array_equal(flipped.y_train, target[given[numbers_of(flipped.x_train)]])


def test_the_meta_set_is_clean_balanced_and_not_trained_on():
    data = prepare(make_source(), num_meta=50, noise="uniform", noise_rate=0.9)
    assert np.bincount(data.y_meta).tolist() == [5] * NUM_CLASSES
    used = np.concatenate([numbers_of(data.x_train), numbers_of(data.x_meta)])
    np.testing.assert_array_equal(np.sort(used), np.arange(TOTAL))


def test_clean_data_have_right_labels():
    data = prepare(make_source(), num_meta=50)
    np.testing.assert_array_equal(data.y_train, data.y_true)
    assert data.noise_rate == 0
    assert data.class_counts == [55] * NUM_CLASSES


def test_the_noise_rate_is_the_share_of_wrong_labels():
    data = prepare(make_source(), num_meta=50, noise="uniform", noise_rate=0.4)
    wrong = sum(int(a != b) for a, b in zip(data.y_train, data.y_true, strict=True))
    assert data.noise_rate == wrong / 550
    # Four standard deviations of a share of 550 around 0.4 - 0.4/10.
    assert data.noise_rate == pytest.approx(0.36, abs=0.082)


def test_labels_can_be_drawn_from_a_matrix_of_ones_own():
    shift = np.roll(np.eye(NUM_CLASSES), 3, axis=1)
    data = prepare(make_source(), num_meta=50, noise="matrix", noise_matrix=shift)
    np.testing.assert_array_equal(data.y_train, (data.y_true + 3) % NUM_CLASSES)
    np.testing.assert_array_equal(data.transition_matrix, shift)


def test_instance_noise_looks_at_the_images_of_the_labels():
    data = prepare(make_source(), num_meta=50, noise="instance", noise_rate=0.4, seed=2)
    given, matrix = corrupt_by_instance(
        data.y_true, data.x_train, NUM_CLASSES, 0.4, generator(2, "noise")
    )
    np.testing.assert_array_equal(data.y_train, given)
    np.testing.assert_array_equal(data.transition_matrix, matrix)


def test_the_realised_noise_is_counted():
    data = prepare(
        make_source(), num_meta=50, noise="uniform", noise_rate=0.6, imbalance_factor=0.01
    )
    counts = np.zeros((NUM_CLASSES, NUM_CLASSES), int)
    for true, given in zip(data.y_true, data.y_train, strict=True):
        counts[true, given] += 1
    np.testing.assert_array_equal(data.noise_counts, counts)
    np.testing.assert_allclose(data.noise_matrix[0], counts[0] / counts[0].sum())
    assert data.class_counts[-1] == 0
    assert not data.noise_matrix[-1].any()


def test_the_training_subset_is_balanced():
    data = prepare(make_source(), num_meta=50, train_examples=203)
    assert sum(data.class_counts) == len(data.x_train) == 203
    assert set(data.class_counts) == {20, 21}


def test_the_tail_is_counted_by_true_class_from_the_images_that_are_left():
    data = prepare(make_source(), num_meta=100, noise="flip", noise_rate=1.0, imbalance_factor=0.1)
    assert data.class_counts == [int(50 * 0.1 ** (c / 9)) for c in range(NUM_CLASSES)]
    assert data.noise_rate == 1
    subset = prepare(make_source(), num_meta=100, imbalance_factor=0.1, train_examples=200)
    assert subset.class_counts == [int(20 * 0.1 ** (c / 9)) for c in range(NUM_CLASSES)]


def test_the_step_is_counted_by_true_class_too():
    data = prepare(
        make_source(),
        num_meta=100,
        noise="flip",
        noise_rate=0.5,
        imbalance="step",
        imbalance_factor=0.1,
    )
    assert data.class_counts == [50] * 5 + [5] * 5
    assert data.noise_counts.sum(axis=1).tolist() == data.class_counts
    whole = prepare(make_source(), num_meta=100, noise="flip", noise_rate=0.5)
    label_of = dict(zip(numbers_of(whole.x_train), whole.y_train, strict=True))
    assert [label_of[n] for n in numbers_of(data.x_train)] == data.y_train.tolist()


def test_classes_of_the_tail_without_images_count_zero():
    data = prepare(make_source(), num_meta=50, imbalance_factor=0.01)
    assert len(data.class_counts) == NUM_CLASSES
    assert data.class_counts[-1] == 0


@pytest.mark.parametrize(
    "change",
    [
        {"noise": "uniform", "noise_rate": 0.8},
        {"noise": "flip", "noise_rate": 0.1},
        {"imbalance_factor": 0.1},
        {"train_examples": 100},
    ],
)
def test_the_meta_set_depends_on_nothing_but_seed_and_size(change):
    np.testing.assert_array_equal(
        prepare(make_source(), num_meta=50, seed=3).x_meta,
        prepare(make_source(), num_meta=50, seed=3, **change).x_meta,
    )


def test_the_noise_does_not_depend_on_the_imbalance():
    noise = {"num_meta": 50, "noise": "uniform", "noise_rate": 0.5}
    balanced = prepare(make_source(), **noise)
    tail = prepare(make_source(), imbalance_factor=0.1, **noise)
    label_of = dict(zip(numbers_of(balanced.x_train), balanced.y_train, strict=True))
    assert [label_of[n] for n in numbers_of(tail.x_train)] == tail.y_train.tolist()


def test_the_images_do_not_depend_on_the_noise():
    shape = {"num_meta": 50, "imbalance_factor": 0.3, "train_examples": 300}
    clean = prepare(make_source(), **shape)
    noisy = prepare(make_source(), noise="flip", noise_rate=0.5, **shape)
    np.testing.assert_array_equal(clean.x_train, noisy.x_train)


def test_equal_seeds_give_equal_data_and_others_other_data():
    setting = {
        "num_meta": 50,
        "noise": "uniform",
        "noise_rate": 0.4,
        "imbalance_factor": 0.5,
        "train_examples": 300,
    }
    first, again, other = (prepare(make_source(), seed=seed, **setting) for seed in (1, 1, 2))
    for name, array in arrays_of(first).items():
        np.testing.assert_array_equal(array, getattr(again, name))
    for name in ("x_train", "y_train", "x_meta"):
        assert not np.array_equal(getattr(first, name), getattr(other, name))


def test_an_experiment_is_the_same_on_every_machine():
    data = prepare(
        make_source(),
        num_meta=53,
        noise="uniform",
        noise_rate=0.4,
        imbalance_factor=0.5,
        train_examples=301,
        seed=1,
    )
    digest = hashlib.sha256()
    for array in (data.x_train, data.y_train, data.y_true, data.x_meta, data.y_meta):
        digest.update(array.astype("<i8").tobytes())
    assert digest.hexdigest() == "b97e69ba2d40711abb9729f488f843372b8fbae18279ec2c6fef4e0a75fb975a"


def test_a_noisy_meta_set_is_taken_out_with_the_labels_given():
    noise = {"noise": "flip", "noise_rate": 0.4, "seed": 1}
    source = make_source()
    whole = prepare(source, meta="pseudo", num_meta=None, **noise)
    data = prepare(source, meta="noisy", num_meta=50, **noise)
    assert np.bincount(data.y_meta).tolist() == [5] * NUM_CLASSES
    used = np.concatenate([numbers_of(data.x_train), numbers_of(data.x_meta)])
    np.testing.assert_array_equal(np.sort(used), np.arange(TOTAL))
    label_of = dict(zip(numbers_of(whole.x_train), whole.y_train, strict=True))
    for part in ("train", "meta"):
        images, given = getattr(data, f"x_{part}"), getattr(data, f"y_{part}")
        assert [label_of[number] for number in numbers_of(images)] == given.tolist()
    np.testing.assert_array_equal(data.y_true, source.y_train[numbers_of(data.x_train)])
    np.testing.assert_array_equal(data.y_meta_true, source.y_train[numbers_of(data.x_meta)])
    wrong = np.count_nonzero(data.y_meta != source.y_train[numbers_of(data.x_meta)])
    assert data.meta_noise_rate == wrong / 50 > 0.2


def test_a_noisy_meta_set_leaves_as_many_training_images_as_asked_for():
    data = prepare(
        make_source(), meta="noisy", num_meta=50, train_examples=300, noise="flip", noise_rate=0.4
    )
    assert (len(data.y_train), len(data.y_meta)) == (300, 50)


def test_nothing_is_taken_out_for_a_pseudo_clean_meta_set():
    data = prepare(make_source(), meta="pseudo", num_meta=None, noise="uniform", noise_rate=0.4)
    np.testing.assert_array_equal(numbers_of(data.x_train), np.arange(TOTAL))
    assert len(data.x_meta) == len(data.y_meta) == 0
    assert data.meta_noise_rate is None
    chosen = np.array([3, 5, 500])
    with_meta = data.with_meta(chosen)
    np.testing.assert_array_equal(numbers_of(with_meta.x_meta), chosen)
    np.testing.assert_array_equal(with_meta.y_meta, data.y_train[chosen])
    np.testing.assert_array_equal(with_meta.y_meta_true, data.y_true[chosen])
    np.testing.assert_array_equal(with_meta.x_train, data.x_train)


def test_labels_that_are_not_known_to_be_true_give_a_meta_set_without_truth():
    source = make_source(labels_are_true=False)
    data = prepare(source, meta="noisy", num_meta=20)
    assert (data.y_meta_true, data.meta_noise_rate, len(data.y_meta)) == (None, None, 20)
    chosen = prepare(source, meta="pseudo", num_meta=None).with_meta(np.arange(4))
    assert (chosen.y_meta_true, chosen.meta_noise_rate) == (None, None)


def test_a_clean_meta_set_has_no_wrong_labels():
    data = prepare(make_source(), num_meta=50, noise="uniform", noise_rate=0.4)
    assert data.meta_noise_rate == 0


@pytest.mark.parametrize(
    ("source", "meta", "message"),
    [
        (make_source(), "dirty", "meta='dirty'; allowed: clean, noisy, pseudo"),
        (with_clean_set(), "pseudo", "numbers has a clean set .* meta=pseudo; allowed: clean"),
        (with_clean_set(), "noisy", "numbers has a clean set .* meta=noisy; allowed: clean"),
        (make_source(labels_are_true=False), "clean", "without a clean set, .* allowed: pseudo"),
    ],
)
def test_a_meta_set_that_a_source_does_not_give_is_an_error(source, meta, message):
    with pytest.raises(ValueError, match=message):
        prepare(source, num_meta=20, meta=meta)


def test_who_draws_noise_takes_the_labels_for_true():
    source = make_source(labels_are_true=False)
    data = prepare(source, num_meta=20, noise="flip", noise_rate=1.0)
    assert (data.meta_noise_rate, data.noise_rate) == (0, 1)


def test_a_class_missing_from_the_meta_set_is_warned_of():
    with pytest.warns(UserWarning, match="no image of 3 of 10 classes"):
        prepare(make_source(), num_meta=7)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        prepare(make_source(), num_meta=10)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"num_meta": 0}, ValueError, "num_meta=0; allowed: 1 to 599"),
        ({"num_meta": 600}, ValueError, "num_meta=600; allowed: 1 to 599"),
        ({"num_meta": 595}, ValueError, "num_meta=595, which takes"),
        ({"num_meta": 5.0}, TypeError, "num_meta=5.0"),
        ({"noise": "pink"}, ValueError, "kind='pink'; allowed: none, uniform, flip"),
        ({"noise": "asymmetric", "noise_rate": 0.4}, ValueError, "10 classes .a, b, c, ...."),
        ({"noise": "matrix"}, ValueError, "kind='matrix' without a matrix"),
        ({"noise_matrix": np.eye(10)}, ValueError, "kind='none' with a matrix"),
        ({"noise": "matrix", "noise_matrix": np.eye(3)}, ValueError, r"shape \(3, 3\)"),
        ({"noise": "flip", "noise_rate": 1.5}, ValueError, "noise_rate=1.5; allowed: 0 to 1"),
        ({"noise_rate": 0.4}, ValueError, "kind='none', rate=0.4"),
        ({"imbalance": "linear"}, ValueError, "imbalance='linear'; allowed: exponential, step"),
        ({"imbalance_factor": 0.0}, ValueError, "imbalance_factor=0.0; allowed: above 0"),
        ({"train_examples": 0}, ValueError, "train_examples=0; allowed: 1 to 550"),
        ({"train_examples": 551}, ValueError, "train_examples=551; allowed: 1 to 550"),
        ({"train_examples": 9, "imbalance_factor": 0.5}, ValueError, "num_per_class=0.9"),
        ({"seed": -1}, ValueError, "seed=-1; allowed: 0 or more"),
    ],
)
def test_bad_settings_are_errors(change, error, message):
    with pytest.raises(error, match=message):
        prepare(make_source(), **{"num_meta": 50, **change})


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"y_train": np.zeros(TOTAL)}, TypeError, "y_train must be class indices.*float64"),
        ({"y_test": np.zeros(20)}, TypeError, "y_test must be class indices.*float64"),
        ({"y_train": np.full(TOTAL, 10)}, ValueError, "labels from 10 to 10; allowed: 0 to 9"),
        ({"y_test": np.full(20, -1)}, ValueError, "labels from -1 to -1; allowed: 0 to 9"),
        ({"y_train": np.zeros((TOTAL, 10), int)}, ValueError, r"shape \(600, 10\)"),
        ({"y_train": np.zeros(0, int)}, ValueError, r"y_train.*shape \(0,\)"),
        ({"y_test": np.zeros(0, int)}, ValueError, r"y_test.*shape \(0,\)"),
        ({"y_train": np.zeros(5, int)}, ValueError, "600 images and 5 labels"),
        ({"y_given": np.zeros(5, int)}, ValueError, "x_train and y_given .* and 5 labels"),
        ({"x_meta": np.zeros((2, 1, 2, 1)), "y_meta": [0, 10]}, ValueError, "y_meta holds"),
        ({"class_names": ("one",)}, ValueError, "num_classes=1; allowed: 2 or more"),
    ],
)
def test_bad_sources_are_errors(change, error, message):
    with pytest.raises(error, match=message):
        prepare(make_source(**change), num_meta=50)

from __future__ import annotations

import dataclasses
import inspect

import pytest

from gdw_tf import data, methods, train_flags
from gdw_tf.defaults import DEFAULTS
from gdw_tf.flag_files import assignments_of, differences, flag_lines, lines_beside_defaults
from gdw_tf.settings import Settings, on_other_data, resolve


def test_every_data_set_has_its_defaults():
    assert set(DEFAULTS) == set(data.names())


DEFAULTS_OF_SETTINGS = {
    field.name: field.default
    for field in dataclasses.fields(Settings)
    if field.default not in (dataclasses.MISSING, None)
}


def test_every_setting_has_its_flag_under_a_heading_of_the_help():
    shown = [flag.name for group in train_flags.GROUPS.values() for flag in group]
    assert len(shown) == len(set(shown))
    assert {field.name for field in dataclasses.fields(Settings)} <= set(shown)


@pytest.mark.parametrize("dataset", DEFAULTS)
def test_what_is_by_default_is_what_the_flags_give(dataset):
    with train_flags.settings_by_default(), train_flags.flags_set([f"dataset={dataset}"]):
        assert train_flags.settings_from_flags() == resolve(dataset=dataset)


@pytest.mark.parametrize("method", methods.METHODS)
def test_the_defaults_of_arguments_are_those_of_the_settings(method):
    kind = methods.METHODS[method]
    parameters = {
        name: parameter.default
        for base in reversed(kind.__mro__)
        if "__init__" in vars(base)
        for name, parameter in inspect.signature(base.__init__).parameters.items()
    }
    for name in set(kind.option_names) & set(DEFAULTS_OF_SETTINGS):
        if parameters[name] is not None:
            assert parameters[name] == DEFAULTS_OF_SETTINGS[name], name


def test_clothing1m_has_the_settings_of_the_paper():
    settings = resolve(dataset="clothing1m")
    assert (settings.network, settings.epochs, settings.batch_size) == ("resnet18", 5, 128)
    assert (settings.learning_rate, settings.weight_decay, settings.momentum) == (1e-3, 1e-3, 0.9)
    assert (settings.noise, settings.noise_rate, settings.num_meta) == ("none", 0.0, None)


def test_what_is_given_goes_before_the_defaults_of_a_data_set():
    settings = resolve(dataset="clothing1m", batch_size=7, learning_rate=0.3, num_meta=14)
    assert (settings.batch_size, settings.learning_rate, settings.num_meta) == (7, 0.3, 14)
    assert resolve(dataset="cifar10_n", noise="uniform", noise_rate=0.2).noise_rate == 0.2


@pytest.mark.parametrize(
    "dataset", ["cifar10_n", "cifar100_n", "folder", "csv", "npz", "tfds:mnist"]
)
def test_labels_that_come_as_they_are_get_no_noise(dataset):
    settings = resolve(dataset=dataset)
    assert (settings.noise, settings.noise_rate) == ("none", 0.0)
    assert (settings.batch_size, settings.learning_rate) == (100, 0.1)


@pytest.mark.parametrize(
    "augment, by_default, cropped",
    [
        (None, True, True),
        (None, False, False),
        (True, False, True),
        (False, True, False),
    ],
)
def test_images_are_cropped_by_default_where_the_data_set_allows_it(augment, by_default, cropped):
    settings = resolve(augment=augment, randaugment=3.0, cutout=0.5, mixup=0.2)
    assert settings.augmentation(by_default) == data.Augmentation(
        crop_and_flip=cropped, randaugment=3.0, cutout=0.5, mixup=0.2
    )


def test_a_family_without_a_name_is_no_data_set():
    with pytest.raises(ValueError, match="dataset=tfds; allowed: cifar10, .*tfds:NAME"):
        resolve(dataset="tfds")


def test_a_pseudo_clean_meta_set_is_as_large_as_it_turns_out_unless_its_size_is_given():
    assert resolve(dataset="cifar10", meta="pseudo").num_meta is None
    assert resolve(dataset="cifar10", meta="pseudo", num_meta=500).num_meta == 500
    assert resolve(dataset="cifar10", meta="noisy").num_meta == 1000


@pytest.mark.parametrize("method", ["soft_label", "gen_label", "mlc"])
def test_a_method_that_learns_labels_takes_no_other_loss(method):
    resolve(method="gdw", base_loss="focal")
    with pytest.raises(ValueError, match=f"method={method}, base_loss=focal; allowed: cross_ent"):
        resolve(method=method, base_loss="focal")


def test_l2rw_takes_a_meta_gradient_in_every_step():
    resolve(method="gdw", meta_every=2)
    with pytest.raises(ValueError, match="meta_every=2; allowed: 1 with method=l2rw"):
        resolve(method="l2rw", meta_every=2)


@pytest.mark.parametrize("warm_up", [0.0, 1.5])
def test_a_warm_up_is_a_share(warm_up):
    with pytest.raises(ValueError, match=f"warm_up={warm_up}; allowed: above 0, up to 1"):
        resolve(warm_up=warm_up)


def test_lists_are_written_as_flags_are_read():
    paths = ("/a,b/c.csv", '/d "e".csv', "/f.csv")
    lines = flag_lines(resolve(dataset="digits", meta_add=paths))
    with train_flags.flags_set(assignments_of(lines)):
        assert tuple(train_flags.flags.FLAGS["meta_add"].value) == paths
        assert train_flags.settings_from_flags().meta_add == paths


def test_a_run_older_than_a_setting_was_made_with_its_default():
    settings = resolve(dataset="digits")
    older = [line for line in flag_lines(settings) if not line.startswith("--meta_weight=")]
    assert differences(older, settings) == []
    changed = resolve(dataset="digits", meta_weight=0.1)
    assert differences(older, changed) == ["--meta_weight=0.1"]
    assert differences(flag_lines(settings), changed) == ["--meta_weight=0.0", "--meta_weight=0.1"]


@pytest.mark.parametrize("method", methods.names())
def test_a_training_on_other_data_is_as_the_first_one_but_for_its_data(method):
    first = resolve(
        **{"dataset": "digits", "method": method, "noise": "uniform", "noise_rate": 0.3},
        **{"imbalance_factor": 0.5, "train_examples": 200, "epochs": 7, "seed": 3},
    )
    other = on_other_data(first, "npz")
    assert (other.dataset, other.noise, other.noise_rate) == ("npz", "none", 0.0)
    assert (other.imbalance_factor, other.train_examples, other.num_meta) == (1.0, None, None)
    assert (other.method, other.network, other.epochs, other.seed) == (method, "small_cnn", 7, 3)
    if method == "co_teaching":  # it had its rate from the noise
        assert other.forget_rate == 0.3
    lines = lines_beside_defaults(other)
    assert {"--dataset=npz", "--epochs=7", "--seed=3", "--network=small_cnn"} <= set(lines)
    assert not any(line.startswith(("--noise", "--batch_size", "--momentum")) for line in lines)


def test_a_meta_set_of_the_training_images_is_taken_of_other_ones_too():
    first = resolve(dataset="digits", meta="noisy", num_meta=30)
    assert (on_other_data(first, "npz").meta, on_other_data(first, "npz").num_meta) == ("noisy", 30)

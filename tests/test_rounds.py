from __future__ import annotations

import numpy as np
import pytest

from gdw_tf import data, experiment
from gdw_tf.pseudo_clean import example_losses, pseudo_clean
from gdw_tf.rounds import rounds
from gdw_tf.settings import resolve
from gdw_tf.workdir import Choice, Workdir


class Run:
    """A short training on the digits with 12 epochs, before it begins."""

    def __init__(self, folder, **settings) -> None:
        given = {"dataset": "digits", "train_examples": 200, "epochs": 12, **settings}
        self.settings = resolve(**given)
        self.source = data.load("digits")
        self.noisy = experiment.prepare_data(self.settings, self.source)
        self.model = experiment.build_model(self.settings, self.source, self.noisy)
        self.workdir = Workdir(folder)

    def rounds(self, *position):
        return rounds(self.settings, self.source, self.noisy, self.model, self.workdir, *position)


def epochs_of(parts):
    return [(part.first, part.end) for part in parts]


def steps_of(parts):
    return [(part.first, part.first_step, part.end) for part in parts]


@pytest.mark.parametrize(
    "settings", [{}, {"meta": "noisy", "num_meta": 20}, {"meta": "pseudo", "method": "ce"}], ids=str
)
def test_a_meta_set_that_stays_makes_one_round(settings, tmp_path):
    run = Run(tmp_path, **settings)
    assert epochs_of(run.rounds()) == [(0, 12)]
    assert epochs_of(run.rounds(7)) == [(7, 12)]
    assert epochs_of(run.rounds(12)) == []
    assert next(run.rounds()).noisy is run.noisy
    assert not list(tmp_path.iterdir())


def test_a_pseudo_clean_meta_set_is_chosen_by_the_model_as_it_is_when_a_round_begins(tmp_path):
    run = Run(tmp_path, meta="pseudo", pseudo_every=5)
    parts = run.rounds(5)
    next(parts)
    first = run.workdir.read_choice()
    for variable in run.model.classifier.trainable_variables:  # "training"
        variable.assign(variable + 0.1)
    last = next(parts)

    losses = example_losses(run.model, run.noisy.x_train, run.noisy.y_train)
    expected = pseudo_clean(losses, run.noisy.y_train, 10)
    assert not np.array_equal(expected, first.indices)
    choice = run.workdir.read_choice()
    assert (first.epoch, choice.epoch) == (5, 10)
    np.testing.assert_array_equal(choice.indices, expected)
    np.testing.assert_array_equal(last.noisy.x_meta, run.noisy.x_train[expected])
    np.testing.assert_array_equal(last.noisy.y_meta, run.noisy.y_train[expected])
    assert (last.first, last.end) == (10, 12)
    wrong = run.noisy.y_train[expected] != run.noisy.y_true[expected]
    assert last.noisy.meta_noise_rate == wrong.mean()
    assert next(parts, None) is None


def test_a_round_that_is_resumed_has_the_meta_set_that_it_began_with(tmp_path):
    run = Run(tmp_path, meta="pseudo", pseudo_every=5, num_meta=30)
    run.workdir.write_choice(Choice(5, np.arange(7)))
    first, second = run.rounds(8)
    assert epochs_of([first, second]) == [(8, 10), (10, 12)]
    np.testing.assert_array_equal(first.noisy.x_meta, run.noisy.x_train[:7])
    assert np.bincount(second.noisy.y_meta).tolist() == [3] * 10
    assert [path.name for path in tmp_path.iterdir()] == ["pseudo_clean.npz"]


def test_the_rest_of_an_epoch_is_a_round_with_the_meta_set_of_its_round(tmp_path):
    run = Run(tmp_path, meta="pseudo", pseudo_every=5, num_meta=30)
    run.workdir.write_choice(Choice(5, np.arange(7)))
    rest, others, *_ = parts = list(run.rounds(8, 1))
    assert steps_of(parts) == [(8, 1, 9), (9, 0, 10), (10, 0, 12)]
    assert len(rest.noisy.x_meta) == len(others.noisy.x_meta) == 7
    assert steps_of(Run(tmp_path / "other", method="ce").rounds(11, 3)) == [(11, 3, 12)]
    assert steps_of(Run(tmp_path / "other", method="ce").rounds(12)) == []


def test_the_first_choice_leaves_the_model_and_comes_from_a_training(tmp_path):
    run = Run(tmp_path, meta="pseudo", pseudo_warmup=5, noise="uniform", noise_rate=0.3)
    before = run.model.get_weights()
    first = next(run.rounds())
    for one, other in zip(before, run.model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    assert set(first.noisy.y_meta) == set(range(10))
    assert first.noisy.meta_noise_rate < 0.7 * run.noisy.noise_rate

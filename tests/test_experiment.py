from __future__ import annotations

import numpy as np
import pytest

from gdw_tf import data, experiment
from gdw_tf.settings import resolve


@pytest.mark.parametrize("balanced", [True, False])
def test_meta_batches_are_balanced_where_the_settings_say_so(balanced):
    settings = resolve(dataset="digits", num_meta=40, meta_batch_size=20, meta_balanced=balanced)
    source = data.load("digits")
    noisy = experiment.prepare_data(settings, source)
    _, meta = experiment.batch_streams(settings, source, noisy, initial_epoch=0)
    counts = [
        np.bincount(labels, minlength=10).tolist() for _, labels in meta.take(3).as_numpy_iterator()
    ]
    assert (counts == [[2] * 10] * 3) == balanced


def test_batches_of_a_pseudo_clean_meta_set_are_balanced():
    settings = resolve(dataset="digits", meta="pseudo", meta_batch_size=20)
    source = data.load("digits")
    noisy = experiment.prepare_data(settings, source)
    with pytest.raises(ValueError, match="No meta set is chosen yet. Received: meta=pseudo"):
        experiment.meta_stream(settings, source, noisy)
    unequal = np.concatenate(
        [np.flatnonzero(noisy.y_train == label)[: 3 + label] for label in range(10)]
    )
    meta = experiment.meta_stream(settings, source, noisy.with_meta(unequal))
    for _, labels in meta.take(3).as_numpy_iterator():
        assert np.bincount(labels, minlength=10).tolist() == [2] * 10

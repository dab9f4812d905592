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

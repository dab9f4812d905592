from __future__ import annotations

import keras
import numpy as np
import pytest

from gdw_tf.metrics import Accuracy

LOGITS = np.random.RandomState(0).normal(size=(60, 4)).astype(np.float32)
LABELS = np.random.RandomState(1).randint(4, size=60)
RIGHT = LOGITS.argmax(axis=1) == LABELS
SHARES = 0.6 * np.eye(4)[LABELS] + 0.4 * np.eye(4)[(LABELS + 1) % 4]
FORMS = [LABELS, LABELS[:, np.newaxis], np.eye(4)[LABELS], SHARES]


def test_the_form_of_the_labels_may_change_from_batch_to_batch():
    metric = Accuracy()
    parts = [slice(0, 10), slice(10, 25), slice(25, 40), slice(40, 60)]
    for labels, part in zip(FORMS, parts, strict=True):
        metric.update_state(labels[part], LOGITS[part])
    assert float(metric.result()) == pytest.approx(RIGHT.mean())
    metric.reset_state()
    for labels, part in zip(FORMS[::-1], parts, strict=True):
        metric.update_state(labels[part], LOGITS[part])
    assert float(metric.result()) == pytest.approx(RIGHT.mean())


@pytest.mark.parametrize("labels", FORMS)
def test_examples_count_by_their_weight(labels):
    weights = np.random.RandomState(2).uniform(size=60).astype(np.float32)
    metric = Accuracy()
    metric.update_state(labels, LOGITS, sample_weight=weights)
    assert float(metric.result()) == pytest.approx(np.average(RIGHT, weights=weights), rel=1e-5)


def test_the_metric_is_rebuilt_from_its_configuration():
    metric = Accuracy(name="hits")
    config = keras.saving.serialize_keras_object(metric)
    again = keras.saving.deserialize_keras_object(config)
    assert isinstance(again, Accuracy) and again.name == "hits"
    assert Accuracy().name == "accuracy"

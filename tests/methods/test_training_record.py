"""The record that a training keeps of its examples."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

import gdw_tf

from . import examples

X, Y = examples.arrays()
META = examples.arrays(9, seed=1)
C = examples.CLASSES


def trained(method, epochs=1):
    options = {"fine_tune_share": 0.34} if method == "fine_tune" else None
    execution = {"run_eagerly": method != "gdw"}  # which is quicker for so few steps
    model = examples.compiled(method, options=options, record_examples=True, **execution)
    model.fit(X, Y, meta_data=META, batch_size=8, epochs=epochs, verbose=0)
    return model


@pytest.mark.parametrize("method", [*gdw_tf.METHODS])
def test_every_visit_of_an_example_is_recorded(method):
    record = trained(method, epochs=3).training_record
    if method == "clean_only":
        assert np.isnan(record.probabilities).all()
        return
    # Its last epoch is on the meta set.
    np.testing.assert_array_equal(record.visits, 2 if method == "fine_tune" else 3)
    np.testing.assert_allclose(record.probabilities.sum(axis=1), 1, rtol=1e-5)
    if record.class_weights is None:
        assert not hasattr(gdw_tf.METHODS[method], "updated_outer_parameters")
    else:
        assert record.class_weights.shape == (len(X), C)
        assert np.isfinite(record.class_weights).all()


def test_probabilities_and_weights_are_those_of_the_steps():
    model = examples.compiled("gdw", record_examples=True, run_eagerly=True)
    index, probabilities, weights = [], [], []
    step_of = model.training_step

    def observed(data):
        step = step_of(data)
        logits = step["logits"].numpy().astype(np.float64)
        exponentials = np.exp(logits - logits.max(axis=1, keepdims=True))
        index.append(data[0][3].numpy())
        probabilities.append(exponentials / exponentials.sum(axis=1, keepdims=True))
        weights.append(step["updated_outer"].numpy())
        return step

    model.training_step = observed
    model.fit(X, Y, meta_data=META, batch_size=8, epochs=2, verbose=0)
    index = np.concatenate(index)
    record = model.training_record
    for recorded, seen in (
        (record.probabilities, probabilities),
        (record.class_weights, weights),
    ):
        seen = np.concatenate(seen)
        expected = np.stack([seen[index == example].mean(axis=0) for example in range(len(X))])
        np.testing.assert_allclose(recorded, expected, rtol=1e-5, atol=1e-7)


def test_a_weight_of_a_whole_example_stands_for_each_class():
    weights = trained("mw_net").training_record.class_weights
    np.testing.assert_array_equal(weights, np.repeat(weights[:, :1], C, axis=1))
    assert weights.min() > 0
    assert weights.max() < 1


def test_weights_that_are_remembered_as_logarithms_are_recorded_as_weights():
    model = examples.compiled("insw", record_examples=True, options={"outer_lr": 2.0})
    model.fit(X, Y, meta_data=META, batch_size=len(X), epochs=1, verbose=0)
    sizes = np.exp(model.example_memory.numpy())
    recorded = model.training_record.class_weights
    np.testing.assert_allclose(recorded, np.repeat(sizes / sizes.mean(), C, axis=1), rtol=1e-5)
    assert np.ptp(recorded) > 0.1


def test_recording_changes_no_step():
    recorded, plain = trained("gdw", epochs=2), examples.compiled("gdw")
    plain.fit(X, Y, meta_data=META, batch_size=8, epochs=2, verbose=0)
    assert plain.training_record is None
    for one, other in zip(recorded.get_weights()[:4], plain.get_weights()[:4], strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_saved_model_goes_on_with_its_record(tmp_path):
    model = trained("gdw")
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded.example_record, model.example_record)
    loaded.fit(X, Y, meta_data=META, batch_size=8, verbose=0)
    np.testing.assert_array_equal(loaded.training_record.visits, 2)
    with pytest.raises(ValueError, match="record of 32 training examples.*Received: 31 examples"):
        loaded.fit(X[1:], Y[1:], meta_data=META, batch_size=8, verbose=0)


def test_a_step_that_is_skipped_is_not_recorded():
    spoilt = X.astype(np.float64)
    spoilt[:8] = 1e300
    model = examples.compiled("gdw", record_examples=True, on_non_finite="skip")
    with pytest.warns(UserWarning, match="step 1: loss. The step is skipped"):
        model.fit(spoilt, Y, meta_data=META, batch_size=8, shuffle=False, verbose=0)
    np.testing.assert_array_equal(model.training_record.visits, [0] * 8 + [1] * 24)
    assert np.isnan(model.training_record.probabilities[:8]).all()


def test_a_data_set_must_carry_the_index_of_its_examples():
    model = examples.compiled("ce", record_examples=True)
    with pytest.raises(ValueError, match="remembered or recorded.*Received"):
        model.fit(tf.data.Dataset.from_tensor_slices((X, Y)).batch(8), verbose=0)


def test_whether_to_record_is_a_boolean():
    with pytest.raises(TypeError, match="record_examples must be a boolean.*Received.*'yes'"):
        examples.compiled("ce", record_examples="yes")

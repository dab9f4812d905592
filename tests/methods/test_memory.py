"""What GDW with a memory keeps of each training example between its visits."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

import gdw_tf

from . import examples

X, Y = examples.arrays(12)
META = examples.arrays(6, seed=1)
VISITS = [[0, 5, 7], [3, 5, 11], [5, 0, 2], [7, 11, 3]]


def model_with_memory(memory=0.7, *, remembers=None, run_eagerly=True, **options):
    options |= {"memory": memory}
    model = examples.compiled(
        "gdw", options=options, optimizer=gdw_tf.CoupledSGD(0.3), run_eagerly=run_eagerly
    )
    if remembers is not None:
        model.fit(X, Y, meta_data=META, epochs=0)
    return model


def constrained(weights, p, labels):
    others = 1 - np.eye(examples.CLASSES)[labels]
    p_target = p[np.arange(len(p)), labels]
    weights = weights.copy()
    weights[np.arange(len(p)), labels] = (weights * p * others).sum(axis=1) / (1 - p_target)
    return weights


@pytest.mark.usefixtures("float64")
def test_earlier_steps_of_an_example_fade_by_beta_a_visit():
    model = model_with_memory(0.7, remembers=len(X))
    remembered = np.zeros((len(X), examples.CLASSES))
    for visit in VISITS:
        index = np.array(visit)
        batch = (tf.constant(X[index], tf.float64), Y[index], None, tf.constant(index))
        step = model.training_step((batch, (tf.constant(META[0], tf.float64), META[1])))

        g = step["meta_gradient"].numpy()
        update = np.clip(0.1 * g.size * g / np.abs(g).sum(), -0.2, 0.2)
        remembered[index] = 0.7 * remembered[index] + update
        z = step["logits"].numpy()
        p = np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)
        weights = np.clip(step["outer"] - remembered[index], 1e-6, 1e6)
        np.testing.assert_allclose(
            step["updated_outer"], constrained(weights, p, Y[index]), rtol=1e-9, atol=1e-12
        )
    np.testing.assert_allclose(model.example_memory, remembered, rtol=1e-9, atol=1e-12)
    assert np.abs(remembered[5]).max() > 0.2  # more than one step can give
    assert not remembered[[1, 4, 6]].any()


def test_without_a_memory_nothing_is_kept_and_no_index_is_needed():
    model = model_with_memory(0.0)
    model.fit(tf.data.Dataset.from_tensor_slices((X, Y)).batch(4), meta_data=META, verbose=0)
    assert model.example_memory is None


def with_index(weight=False):
    columns = (X, Y, np.ones(len(X), np.float32), np.arange(len(X)))
    batches = tf.data.Dataset.from_tensor_slices(columns).batch(4)
    return batches if weight else batches.map(lambda x, y, _, index: (x, y, None, index))


@pytest.mark.parametrize("weight", [False, True])
def test_a_data_set_with_an_index_is_remembered_as_arrays_are(weight):
    models = [model_with_memory(run_eagerly=weight) for _ in range(2)]
    models[0].fit(X, Y, shuffle=False, batch_size=4, meta_data=META, epochs=2, verbose=0)
    models[1].fit(
        with_index(weight),
        num_examples=len(X),
        meta_data=META,
        meta_batch_size=4,
        epochs=2,
        verbose=0,
    )
    memories = [np.asarray(model.example_memory) for model in models]
    assert np.abs(memories[0]).min(axis=1).max() > 0
    np.testing.assert_allclose(*memories, atol=1e-5)


def test_shuffled_arrays_keep_their_numbers():
    model = model_with_memory(0.999, outer_lr=0.0)  # nothing is added to what is kept
    model.fit(X, Y, meta_data=META, epochs=0)
    kept = np.repeat(np.arange(len(X), dtype=np.float32)[:, None], examples.CLASSES, axis=1)
    model.example_memory.assign(kept)
    model.fit(X, Y, meta_data=META, batch_size=5, class_weight={0: 2.0}, verbose=0)
    np.testing.assert_allclose(model.example_memory, 0.999 * kept, rtol=1e-5)


def test_a_class_weight_leaves_the_index_in_its_place():
    model = model_with_memory()
    model.fit(with_index(), num_examples=len(X), class_weight={1: 3.0}, meta_data=META, verbose=0)
    assert np.abs(np.asarray(model.example_memory)).max(axis=1).min() > 0


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"x": tf.data.Dataset.from_tensor_slices((X, Y)).batch(4)}, "must yield .*index"),
        ({"x": with_index()}, "needs num_examples"),
        ({"x": with_index(), "num_examples": 0}, "num_examples=0; allowed: 1 to 2147483647"),
        ({"x": X, "y": Y, "num_examples": 5}, "the arrays hold 12 examples"),
    ],
)
def test_examples_that_cannot_be_told_apart_are_an_error(arguments, message):
    with pytest.raises(ValueError, match=message):
        model_with_memory().fit(**arguments, meta_data=META, verbose=0)


def test_a_model_goes_on_with_its_examples_only():
    model = model_with_memory()
    model.fit(X, Y, meta_data=META, verbose=0)
    with pytest.raises(ValueError, match="remembers 12 training examples.*Received: 6 examples"):
        model.fit(X[:6], Y[:6], meta_data=META, verbose=0)


def test_what_is_remembered_is_saved(tmp_path):
    model = model_with_memory()
    model.fit(X, Y, meta_data=META, verbose=0)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert np.abs(np.asarray(model.example_memory)).max() > 0
    np.testing.assert_array_equal(loaded.example_memory, model.example_memory)


@pytest.mark.parametrize("memory", [-0.1, 1.0, float("nan")])
def test_a_memory_that_does_not_fade_is_an_error(memory):
    with pytest.raises(ValueError, match="memory is out of range"):
        gdw_tf.GDW(examples.functional(), memory=memory)

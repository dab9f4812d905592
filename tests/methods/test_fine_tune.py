from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

from . import examples

X, Y = examples.arrays(22)
TRAINING = tf.data.Dataset.from_tensor_slices((X, Y)).batch(8)  # batches of 8, 8 and 6
META = tf.data.Dataset.from_tensor_slices(examples.arrays(9, seed=1)).batch(4)  # 4, 4 and 1

pytestmark = pytest.mark.usefixtures("float64")


def state(model):
    variables = (*model.classifier.variables, *model.optimizer.variables)
    return [np.asarray(variable) for variable in variables]


class Remember(keras.callbacks.Callback):
    """Keeps the state at the end of every epoch."""

    def __init__(self):
        super().__init__()
        self.states = []

    def on_epoch_end(self, epoch, logs=None):
        self.states.append(state(self.model))


@pytest.mark.parametrize(
    ("share", "plain_epochs"), [(0.0, 6), (0.3, 5), (1 / 3, 4), (0.5, 3), (1.0, 0)]
)
def test_plain_training_goes_on_with_the_meta_set_in_the_last_share_of_the_epochs(
    share, plain_epochs
):
    memory, expected = Remember(), Remember()
    arguments = {"verbose": 0, "steps_per_epoch": 3}
    options = {"fine_tune_share": share}
    model = examples.compiled("fine_tune", examples.normalized, options=options)
    model.fit(TRAINING.repeat(), meta_data=META, epochs=6, callbacks=[memory], **arguments)

    plain = examples.compiled("ce", examples.normalized)
    losses = []
    for data, epochs in ((TRAINING, plain_epochs), (META, 6 - plain_epochs)):
        if epochs:
            plain.fit(data.repeat(), epochs=epochs, callbacks=[expected], **arguments)
            losses += plain.history.history["loss"]

    assert len(memory.states) == len(expected.states) == 6
    for epoch, states in enumerate(zip(memory.states, expected.states, strict=True)):
        for one, other in zip(*states, strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-10, atol=1e-12, err_msg=str(epoch))
    assert model.history.history["loss"] == pytest.approx(losses)


@pytest.mark.parametrize("share", [-0.1, 1.5, float("nan")])
def test_a_share_is_between_0_and_1(share):
    with pytest.raises(ValueError, match="fine_tune_share=.*allowed: 0 to 1"):
        examples.compiled("fine_tune", options={"fine_tune_share": share})

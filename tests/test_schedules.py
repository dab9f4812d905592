from __future__ import annotations

import keras
import numpy as np
import pytest

from gdw_tf.schedules import cosine_by_epoch


@pytest.mark.parametrize(
    "epoch, share",
    [
        (0, 1.0),
        (20, (1 + 2**-0.5) / 2),  # cos 45 degrees
        (80 / 3, 0.75),  # cos 60 degrees
        (40, 0.5),
        (60, (1 - 2**-0.5) / 2),
        (80, 0.0),
    ],
)
def test_the_rate_falls_along_half_a_cosine(epoch, share):
    assert cosine_by_epoch(0.1, 80)(epoch) == pytest.approx(0.1 * share, abs=1e-15)


def test_keras_sets_the_rate_of_every_epoch():
    rates = []
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    model.compile(keras.optimizers.SGD(1.0), "mse")
    remember = keras.callbacks.LambdaCallback(
        on_epoch_begin=lambda epoch, logs: rates.append(float(model.optimizer.learning_rate))
    )
    scheduler = keras.callbacks.LearningRateScheduler(cosine_by_epoch(0.4, 4))

    model.fit(
        np.zeros((1, 1)), np.zeros((1, 1)), epochs=4, callbacks=[scheduler, remember], verbose=0
    )

    falls = [1.0, (1 + 2**-0.5) / 2, 0.5, (1 - 2**-0.5) / 2]
    assert rates == pytest.approx([0.4 * share for share in falls], rel=1e-6)

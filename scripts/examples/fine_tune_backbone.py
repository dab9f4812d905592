"""Fine-tunes a network of keras.applications on images with wrong labels, plainly and by GDW.

Usage: python scripts/examples/fine_tune_backbone.py [--weights=FILE] [--size=32] [--epochs=12]

The backbone is MobileNet at a quarter of its width; the images are the digits, enlarged, in three
channels, with 40 % uniform noise. `--weights` is a file of that backbone's weights without its head
(`mobilenet_2_5_*_tf_no_top.h5` of keras.applications, or what `backbone.save_weights` wrote).

Without it the weights are random. Then nothing is fine-tuned: the network learns from these images
alone, and the figures say how GDW and plain training compare, not what a pretrained backbone
reaches.
"""

from __future__ import annotations

import keras
import numpy as np
from absl import flags

import gdw_tf
from gdw_tf import cli, data

WEIGHTS = flags.DEFINE_string("weights", None, "File of the backbone's weights; random without.")
SIZE = flags.DEFINE_integer(
    "size", 32, "Height and width of the images, 32 to 224.", lower_bound=32, upper_bound=224
)
EPOCHS = flags.DEFINE_integer("epochs", 12, "Epochs of each training.", lower_bound=1)
STEPS = flags.DEFINE_integer(
    "steps_per_epoch", None, "Steps of an epoch, for a quick look.", lower_bound=1
)
LEARNING_RATE = flags.DEFINE_float("learning_rate", 0.05, "Learning rate of SGD.", lower_bound=0.0)
SEED = flags.DEFINE_integer("seed", 0, "Seed of the data and the trainings.", lower_bound=0)
FLAGS = [WEIGHTS, SIZE, EPOCHS, STEPS, LEARNING_RATE, SEED]


def build_classifier() -> keras.Model:
    """The backbone behind what its pixels need, and a new head that answers logits.

    Raises:
        OSError: there is no such file of weights.
        ValueError: the weights are of another network.
    """
    shape = (SIZE.value, SIZE.value, 3)
    backbone = keras.applications.MobileNet(
        shape, alpha=0.25, include_top=False, weights=None, pooling="avg"
    )
    if WEIGHTS.value is not None:
        backbone.load_weights(WEIGHTS.value)
    images = keras.Input((8, 8, 1))  # values 0 to 16
    x = keras.layers.Rescaling(1 / 8, offset=-1)(images)  # as MobileNet was trained
    x = keras.layers.Resizing(*shape[:2])(x)
    x = keras.layers.Concatenate()([x, x, x])
    # Statistics of pretrained normalisation layers are better than those of a small noisy set.
    x = backbone(x, training=False if WEIGHTS.value else None)
    return keras.Model(images, keras.layers.Dense(10)(x))


def main(argv: list[str]) -> None:
    """Trains twice, prints both accuracies."""
    with cli.user_errors():
        noisy = data.prepare(
            data.load("digits"), num_meta=50, noise="uniform", noise_rate=0.4, seed=SEED.value
        )
        build_classifier()  # where the weights do not fit, nothing is trained
    print("weights:", WEIGHTS.value or "random; nothing is fine-tuned, all is learned here")

    for method in (gdw_tf.CE, gdw_tf.GDW):
        keras.utils.set_random_seed(SEED.value)
        model = method(build_classifier())
        model.compile(optimizer=gdw_tf.CoupledSGD(LEARNING_RATE.value), metrics=["accuracy"])
        model.fit(
            noisy.x_train.astype(np.float32),
            noisy.y_train,
            meta_data=(noisy.x_meta.astype(np.float32), noisy.y_meta)
            if model.needs_meta_set
            else None,
            batch_size=50,
            epochs=EPOCHS.value,
            steps_per_epoch=STEPS.value,
            verbose=0,
        )
        x_test = noisy.x_test.astype(np.float32)
        accuracy = model.evaluate(x_test, noisy.y_test, verbose=0, return_dict=True)["accuracy"]
        print(f"{method.__name__}: test accuracy {100 * accuracy:.1f} %")


if __name__ == "__main__":
    cli.run(main, doc=__doc__, groups={"Options": FLAGS})

"""Searches for GDW's options with Optuna, without a look at the test set.

Usage: python scripts/examples/search.py [--trials=10] [--epochs=15]

The data are the digits with 40 % flip noise and 100 clean images beside them. Half of the clean
images are the meta set that GDW learns from; the other half is held out, and its cross-entropy is
what the search brings down: 50 images tell accuracies apart in steps of 2 % only. The first trial
has the default options, so that what is found is never worse than they are on the held-out half.
The test set is evaluated once, at the end. Needs Optuna: `pip install "gdw_tf[examples]"`.
"""

from __future__ import annotations

import dataclasses

import keras
from absl import flags

import gdw_tf
from gdw_tf import cli, data, networks
from gdw_tf.data.meta_split import split_meta
from gdw_tf.data.random import generator

TRIALS = flags.DEFINE_integer(
    "trials", 10, "Trainings of the search; the first has the defaults.", lower_bound=1
)
EPOCHS = flags.DEFINE_integer("epochs", 15, "Epochs of each training.", lower_bound=1)
SEED = flags.DEFINE_integer("seed", 0, "Seed of everything that is drawn.", lower_bound=0)
FLAGS = [TRIALS, EPOCHS, SEED]

BATCH_SIZE = 100
# What the search may choose from, each on a logarithmic scale, and what it begins with: eta = 100
# is what "auto" means for batches of 100 and ten classes.
RANGES = {
    "outer_lr": (10.0, 1000.0),
    "clip": (0.05, 1.0),
    "learning_rate": (0.01, 0.3),
    "weight_net_learning_rate": (1e-4, 1e-1),
}
DEFAULTS = {
    "outer_lr": 100.0,
    "clip": 0.2,
    "learning_rate": 0.1,
    "weight_net_learning_rate": 1e-3,
}


def train(
    options: dict[str, float] | None, source: data.Source, noisy: data.NoisyData
) -> gdw_tf.Method:
    """Trains GDW with these options; plainly with `None`."""
    keras.utils.set_random_seed(SEED.value)
    network = networks.build(
        "small_cnn",
        num_classes=source.num_classes,
        image_shape=source.image_shape,
        mean=source.mean,
        std=source.std,
    )
    if options is None:
        model = gdw_tf.CE(network)
        model.compile(optimizer=gdw_tf.CoupledSGD(DEFAULTS["learning_rate"]), metrics=["accuracy"])
    else:
        model = gdw_tf.GDW(network, outer_lr=options["outer_lr"], clip=options["clip"])
        model.compile(
            optimizer=gdw_tf.CoupledSGD(options["learning_rate"]),
            weight_optimizer=gdw_tf.CoupledAdam(options["weight_net_learning_rate"]),
            metrics=["accuracy"],
        )
    model.fit(
        noisy.x_train,
        noisy.y_train,
        meta_data=(noisy.x_meta, noisy.y_meta) if model.needs_meta_set else None,
        batch_size=BATCH_SIZE,
        epochs=EPOCHS.value,
        verbose=0,
    )
    return model


def main(argv: list[str]) -> None:
    """Searches, and prints what was found beside the defaults and plain training."""
    with cli.user_errors():
        try:
            import optuna
        except ModuleNotFoundError as error:
            raise ValueError('The search needs Optuna: pip install "gdw_tf[examples]"') from error
        source = data.load("digits")
        noisy = data.prepare(source, num_meta=100, noise="flip", noise_rate=0.4, seed=SEED.value)
    meta, held_out = split_meta(noisy.y_meta, 10, 50, generator(SEED.value, "held out"))
    x_held_out, y_held_out = noisy.x_meta[held_out], noisy.y_meta[held_out]
    noisy = dataclasses.replace(noisy, x_meta=noisy.x_meta[meta], y_meta=noisy.y_meta[meta])
    models = {}

    def held_out_loss(trial: optuna.Trial) -> float:
        options = {
            name: trial.suggest_float(name, *bounds, log=True) for name, bounds in RANGES.items()
        }
        model = models[trial.number] = train(options, source, noisy)
        return model.evaluate(x_held_out, y_held_out, verbose=0, return_dict=True)["loss"]

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=SEED.value))
    study.enqueue_trial(DEFAULTS)
    study.optimize(held_out_loss, n_trials=TRIALS.value)

    best = study.best_trial
    print("best:", ", ".join(f"{name} {value:.3g}" for name, value in best.params.items()))
    print(f"held-out loss: best {best.value:.3f}, defaults {study.trials[0].value:.3f}")
    compared = {"best": models[best.number], "defaults": models[0]}
    compared["plain training"] = train(None, source, noisy)
    for name, model in compared.items():
        results = model.evaluate(noisy.x_test, noisy.y_test, verbose=0, return_dict=True)
        print(f"{name}: test accuracy {100 * results['accuracy']:.1f} %")


if __name__ == "__main__":
    cli.run(main, doc=__doc__, groups={"Options": FLAGS})

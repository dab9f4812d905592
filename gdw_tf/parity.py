"""Replays a recorded run of the paper's authors' program and prints how far this library is off.

Usage: python -m gdw_tf.parity FILE.npz [--tolerance=1e-9]

The recorded batches go through the training step that `fit` runs, in float64; the largest relative
error of every recorded quantity and of the final weights is printed. Exit code 0 where all are
within the tolerance, 1 where one is not, 2 for a file that is not a recording.

A recording holds initial weights, the batches and intermediate quantities of each step, and
final weights, in the layouts of that program: convolutions (out, in, height, width), dense
(out, in). Its moving variances are of n/(n-1) times the batch variance where Keras's are of the
batch variance itself; the comparison takes that factor out.
"""

from __future__ import annotations

import json
import math
import zipfile
import zlib
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from absl import flags

from gdw_tf import cli
from gdw_tf.checks import check_number
from gdw_tf.methods import METHODS
from gdw_tf.methods.outer_step import OuterStep
from gdw_tf.methods.weighting import WeightNetMethod
from gdw_tf.networks.resnet import cifar_resnet
from gdw_tf.optimizers import CoupledAdam, CoupledSGD
from gdw_tf.schedules import cosine_by_epoch

TOLERANCE = flags.DEFINE_float(
    "tolerance", 1e-9, "Largest relative error that passes.", lower_bound=0.0
)

Recording = dict[str, np.ndarray]

# What a recording's configuration must say.
_CONFIG = {
    *("method", "depth", "num_classes", "epoch", "epochs", "learning_rate", "momentum"),
    *("weight_decay", "outer_lr", "clip", "hidden_units", "weight_net_learning_rate"),
    *("weight_net_weight_decay", "steps", "bn_momentum", "bn_epsilon"),
}
_OPTIONS = ("hidden_units", "outer_lr", "clip")  # of methods, those among them that it has
_REPLAYED = [name for name, kind in METHODS.items() if issubclass(kind, WeightNetMethod)]

# The inputs of a step, and what is compared.
_STEP = {
    *("x", "y", "y_true", "x_meta", "y_meta"),
    *("meta_lr", "logits", "ce", "class_weights_first", "meta_gradient", "update", "meta_loss"),
    *("class_weights_final", "logit_gradient"),
}

# What NumPy, JSON and a look into the configuration may answer to some other file.
_NOT_A_RECORDING = (
    ValueError,
    KeyError,
    TypeError,
    AttributeError,
    EOFError,
    zipfile.BadZipFile,
    zlib.error,
)


def load_recording(path: str) -> tuple[dict[str, Any], Recording]:
    """Reads a recording.

    Returns:
        Its configuration, and its arrays by name.

    Raises:
        ValueError: the file is not a recording.
        OSError: the file cannot be read.
    """
    with open(path, "rb") as file:
        if not zipfile.is_zipfile(file):
            raise ValueError(f"{path} is not a recorded run: no archive of numpy.savez")
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        config = json.loads(str(arrays.pop("config")))
        method = config["method"].replace("-", "_")
    except _NOT_A_RECORDING as error:
        raise ValueError(f"{path} is not a recorded run: {error}") from error
    if method not in _REPLAYED:
        raise ValueError(
            f"{path} records a method that cannot be replayed. Received: {config['method']!r}; "
            f"allowed: {', '.join(_REPLAYED)}."
        )
    absent = _CONFIG - set(config)
    if absent:
        raise ValueError(f"{path} is not a recorded run: its config lacks {sorted(absent)}")
    unknown = {name.split("/", 1)[1] for name in arrays if name.startswith("step")} - _STEP
    if unknown:
        raise ValueError(f"{path} holds quantities that cannot be compared: {sorted(unknown)}")
    return {**config, "method": method}, arrays


def build_model(config: dict[str, Any], image_shape: tuple[int, ...]) -> WeightNetMethod:
    """The model that the recording was made with, in Keras's current default dtype."""
    classifier = cifar_resnet(config["depth"], config["num_classes"], image_shape)
    for layer in _normalizations(classifier):
        layer.momentum, layer.epsilon = config["bn_momentum"], config["bn_epsilon"]
    method = METHODS[config["method"]]
    options = {name: config[name] for name in _OPTIONS if name in method.option_names}
    model = method(classifier, **options)
    rate = cosine_by_epoch(config["learning_rate"], config["epochs"])(config["epoch"])
    model.compile(
        CoupledSGD(rate, config["momentum"], config["weight_decay"]),
        weight_optimizer=CoupledAdam(
            config["weight_net_learning_rate"], weight_decay=config["weight_net_weight_decay"]
        ),
    )
    model.build_optimizers()
    return model


def load_weights(model: WeightNetMethod, recording: Recording) -> None:
    """Gives the model the recorded initial weights and moving statistics."""
    for variable, value in zip(
        [*model.classifier.trainable_variables, *model.weight_net.trainable_variables],
        [*_arrays(recording, "initial/model"), *_arrays(recording, "initial/weight_net")],
        strict=True,
    ):
        variable.assign(_to_keras(value))
    for layer, mean, variance in zip(
        _normalizations(model.classifier),
        _arrays(recording, "initial/bn_mean"),
        _arrays(recording, "initial/bn_var"),
        strict=True,
    ):
        layer.moving_mean.assign(mean)
        layer.moving_variance.assign(variance)


def replay(config: dict[str, Any], recording: Recording) -> dict[str, float]:
    """Runs the recorded steps.

    Returns:
        The largest relative error of each recorded quantity over all steps: the largest
        difference of two entries over the largest recorded entry.
    """
    model = build_model(config, recording["step0/x"].shape[1:])
    load_weights(model, recording)
    step = tf.function(model.training_step)
    errors: dict[str, float] = {}
    batch_norms = _normalizations(model.classifier)
    variances = _arrays(recording, "initial/bn_var")
    for number in range(config["steps"]):
        recorded = {
            name.split("/", 1)[1]: value
            for name, value in recording.items()
            if name.startswith(f"step{number}/")
        }
        batch, meta_batch = (
            (tf.constant(recorded[f"x{part}"], keras.config.floatx()), recorded[f"y{part}"])
            for part in ("", "_meta")
        )
        before = [layer.moving_variance.numpy() for layer in batch_norms]
        quantities = _quantities(model, step((batch, meta_batch)))
        variances = [
            config["bn_momentum"] * variance + _sample_variance(layer, was, len(batch[1]), config)
            for layer, was, variance in zip(batch_norms, before, variances, strict=True)
        ]
        for name in quantities.keys() & recorded.keys():
            error = relative_error(quantities[name], recorded[name])
            errors[name] = max(errors.get(name, 0.0), error)
    return {**dict(sorted(errors.items())), **_final_errors(model, variances, recording)}


def relative_error(value: Any, recorded: np.ndarray) -> float:
    """Largest difference of two entries over the largest recorded entry; infinite for NaN."""
    value, recorded = np.asarray(value, np.float64), np.asarray(recorded, np.float64)
    if value.shape != recorded.shape:
        raise ValueError(f"shape {value.shape} where {recorded.shape} is recorded")
    difference = np.abs(value - recorded).max()
    if difference == 0.0:
        return 0.0
    error = difference / max(np.abs(recorded).max(), np.finfo(np.float64).tiny)
    return float(error) if math.isfinite(error) else math.inf


def _quantities(model: WeightNetMethod, step: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
    """The quantities of a step by their names in a recording."""
    quantities = {
        "meta_lr": step["virtual_lr"],
        "logits": step["logits"],
        "ce": step["example_loss"][:, 0],
        "class_weights_first": step["outer"],
        "meta_gradient": step["meta_gradient"],
        "meta_loss": step["meta_loss"],
        "class_weights_final": step["updated_outer"],
        "logit_gradient": step["logit_gradient"] / step["logits"].shape[0],
    }
    if isinstance(model, OuterStep):
        quantities["update"] = model.class_level_update(step["meta_gradient"])
    return quantities


def _sample_variance(
    layer: keras.layers.BatchNormalization, before: np.ndarray, batch: int, config: dict[str, Any]
) -> np.ndarray:
    """What a step adds to a moving variance of sample variances, which recordings hold.

    Keras's is one of variances over the batch, n - 1 of n times as large.
    """
    _, height, width, _ = layer.input.shape
    count = batch * height * width
    moved = layer.moving_variance.numpy() - config["bn_momentum"] * before
    return moved * count / (count - 1)


def _final_errors(
    model: WeightNetMethod, variances: list[np.ndarray], recording: Recording
) -> dict[str, float]:
    """The errors of what is left in the end.

    Args:
        model: after the last step.
        variances: the moving averages of the sample variances, by normalisation.
        recording: of the run.
    """
    batch_norms = _normalizations(model.classifier)
    final = {
        "final/model": [_from_keras(v.numpy()) for v in model.classifier.trainable_variables],
        "final/weight_net": [_from_keras(v.numpy()) for v in model.weight_net.trainable_variables],
        "final/bn_mean": [layer.moving_mean.numpy() for layer in batch_norms],
        "final/bn_var": variances,
    }
    return {
        name: max(
            relative_error(value, recorded)
            for value, recorded in zip(values, _arrays(recording, name), strict=True)
        )
        for name, values in final.items()
    }


def _arrays(recording: Recording, prefix: str) -> list[np.ndarray]:
    names = [name for name in recording if name.startswith(f"{prefix}/")]
    return [
        recording[name] for name in sorted(names, key=lambda name: int(name.rpartition("/")[2]))
    ]


def _normalizations(classifier: keras.Model) -> list[keras.layers.BatchNormalization]:
    return [
        layer for layer in classifier.layers if isinstance(layer, keras.layers.BatchNormalization)
    ]


def _to_keras(value: np.ndarray) -> np.ndarray:
    """(out, in, height, width) to (height, width, in, out); (out, in) to (in, out)."""
    return value.transpose(2, 3, 1, 0) if value.ndim == 4 else value.T


def _from_keras(value: np.ndarray) -> np.ndarray:
    return value.transpose(3, 2, 0, 1) if value.ndim == 4 else value.T


def main(argv: list[str]) -> None:
    """Prints the errors of one recording."""
    keras.config.set_floatx("float64")
    with cli.user_errors():
        if len(argv) != 2:
            raise ValueError(f"Give one recording. Received: {argv[1:]}")
        check_number("tolerance", TOLERANCE.value, 0.0)
        config, recording = load_recording(argv[1])
    try:
        errors = replay(config, recording)
    except _NOT_A_RECORDING as error:  # arrays of other shapes, or a configuration of other types
        cli.fail(f"{argv[1]} is not a recorded run: {type(error).__name__}: {error}")
    print(f"{config['method']}, ResNet-{config['depth']}, {config['steps']} steps")
    print("largest relative error of")
    for name, error in errors.items():
        print(f"  {name:<20} {error:.2e}")
    worst = max(errors.values())
    print(f"largest {worst:.2e}, tolerance {TOLERANCE.value:.0e}")
    if worst > TOLERANCE.value:
        cli.fail(f"the largest error {worst:.2e} is above the tolerance {TOLERANCE.value:.0e}", 1)


if __name__ == "__main__":
    cli.run(main, doc=__doc__, groups={"Options": [TOLERANCE]})

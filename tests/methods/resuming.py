"""Trains, saves and resumes; a program, because resuming is tested in a fresh process.

python -m methods.resuming begin FOLDER      every case without a break, saved on the way
python -m methods.resuming resume FOLDER     every case from where it was saved
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf

import gdw_tf
from gdw_tf.methods.labeling import LabelNetMethod
from gdw_tf.methods.meta import MetaMethod

from . import examples

EPOCHS = 4


class Case(NamedTuple):
    method: str
    classifier: Callable[[], keras.Model]
    saved_after: int = 2
    options: dict[str, Any] = {}  # noqa: RUF012
    compile_arguments: Callable[[], dict[str, Any]] = dict
    as_dataset: bool = False
    inputs: Callable[[np.ndarray], Any] = np.asarray


def _adam_with_schedule() -> dict[str, Any]:
    return {
        "optimizer": keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(0.02, 14)),
        "weight_optimizer": "sgd",
        "metrics": ["accuracy", keras.metrics.SparseTopKCategoricalAccuracy(2, name="top_2")],
    }


def _with_dropout() -> keras.Model:
    return examples.functional(dropout=0.3)


CASES = {
    "gdw": Case("gdw", _with_dropout, options={"outer_lr": 3.0, "clip": 0.1, "hidden_units": 5}),
    "gdw, Adam with a schedule, a data set": Case(
        "gdw",
        _with_dropout,
        options={"virtual_lr": 0.25, "zero_mean": False},
        compile_arguments=_adam_with_schedule,
        as_dataset=True,
    ),
    "elr": Case("elr", _with_dropout, options={"elr_lambda": 2.0, "elr_beta": 0.5}),
    "gdw with a memory": Case("gdw", _with_dropout, options={"memory": 0.5, "meta_every": 2}),
    "gdw with a pair memory": Case("gdw", _with_dropout, options={"pair_memory": 0.9}),
    "gdw, subclassed": Case("gdw", examples.subclassed),
    "mw_net, saved before training, dict": Case(
        "mw_net", examples.of_a_dict, saved_after=0, inputs=examples.as_dict
    ),
    "ce, batch-normalized": Case("ce", examples.normalized),
    "fine_tune": Case("fine_tune", _with_dropout, options={"fine_tune_share": 0.3}),
    "clean_only": Case("clean_only", examples.subclassed),
    "co_teaching": Case("co_teaching", _with_dropout, options={"forget_rate": 0.3}),
    "co_teaching, subclassed": Case("co_teaching", examples.subclassed),
    "glc": Case("glc", _with_dropout, options={"transition_matrix": None, "clean_share": 0.4}),
    "glc, subclassed, a data set": Case(
        "glc", examples.subclassed, options={"transition_matrix": None}, as_dataset=True
    ),
    "forward": Case("forward", examples.normalized, options={"transition_matrix": None}),
    "forward, given": Case("forward", _with_dropout),
    "l2rw": Case("l2rw", _with_dropout),
    "insw": Case("insw", _with_dropout, options={"outer_lr": 2.0, "meta_every": 2}),
    "soft_label": Case("soft_label", _with_dropout, options={"clip": 0.1}),
    "gen_label": Case("gen_label", examples.normalized, options={"warm_up": 0.4}),
    "mlc, saved in the warm-up": Case("mlc", _with_dropout, options={"warm_up": 0.7}),
}


def train(case: Case, model: gdw_tf.Method, **arguments: Any) -> None:
    x, y = examples.arrays(32)
    meta_x, meta_y = examples.arrays(9, seed=1)
    training, meta = (case.inputs(x), y), (case.inputs(meta_x), meta_y)
    if case.as_dataset:
        training = (tf.data.Dataset.from_tensor_slices(training).batch(10),)
        meta = tf.data.Dataset.from_tensor_slices(meta).batch(4)
    else:
        arguments |= {"batch_size": 10, "meta_batch_size": 4}
    model.fit(*training, meta_data=meta, epochs=EPOCHS, verbose=0, **arguments)


def state(model: gdw_tf.Method) -> dict[str, np.ndarray]:
    """All that training changes: weights, memory, optimizers, random generators."""
    parts = {"optimizer": model.optimizer.variables}
    parts |= {
        f"network {number}": network.variables for number, network in enumerate(model.networks)
    }
    if isinstance(model, MetaMethod):
        parts |= {
            "outer": model.outer_variables,
            "outer optimizer": model.weight_optimizer.variables,
        }
    if model.example_memory is not None:
        parts["example_memory"] = [model.example_memory]
    if isinstance(model, gdw_tf.GDW) and model.pair_steps is not None:
        parts["pair_steps"] = [model.pair_steps, model.pair_squares]
    if isinstance(model, gdw_tf.GLC | gdw_tf.ForwardCorrection) and model.transitions is not None:
        parts["transitions"] = [model.transitions]
    if isinstance(model, LabelNetMethod):
        parts["warmed_up"] = model.warmed_up.weights
    return {
        f"{name} {number}": np.asarray(variable)
        for name, variables in parts.items()
        for number, variable in enumerate(variables)
    }


def record(model: gdw_tf.Method, path: Path) -> None:
    np.savez(path.with_suffix(".npz"), **state(model))
    configuration = {"options": model.get_config(), "compile": model.get_compile_config()}
    path.with_suffix(".json").write_text(json.dumps(configuration))


def begin(name: str, case: Case, folder: Path) -> None:
    model = examples.compiled(
        case.method, case.classifier, options=case.options, **case.compile_arguments()
    )

    def save(epochs: int) -> None:
        if epochs == case.saved_after:
            model.save(folder / f"{name}.keras")
            record(model, folder / f"{name} saved")

    save(0)
    train(
        case,
        model,
        callbacks=[
            keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: save(epoch + 1))
        ],
    )
    record(model, folder / f"{name} undisturbed")


def resume(name: str, case: Case, folder: Path) -> None:
    model = keras.models.load_model(folder / f"{name}.keras")
    record(model, folder / f"{name} loaded")
    train(case, model, initial_epoch=case.saved_after)
    record(model, folder / f"{name} resumed")


if __name__ == "__main__":
    tf.config.experimental.enable_op_determinism()
    keras.utils.set_random_seed(int(sys.argv[1] == "resume"))
    act = {"begin": begin, "resume": resume}[sys.argv[1]]
    for name, case in CASES.items():
        act(name, case, Path(sys.argv[2]))

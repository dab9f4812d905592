"""Tiny data and classifiers of every kind, shared by the tests of this folder."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np

import gdw_tf
from gdw_tf.methods.labeling import LabelNetMethod

FEATURES, CLASSES = 8, 3


def arrays(count: int = 32, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Inputs (count, 8) and labels that depend on them; every class occurs."""
    generator = np.random.default_rng(seed)
    labels = np.arange(count) % CLASSES
    inputs = generator.normal(size=(count, FEATURES)) + np.eye(CLASSES, FEATURES)[labels]
    return inputs.astype(np.float32), labels


def functional(dropout: float = 0.0, **dense: Any) -> keras.Model:
    inputs = keras.Input((FEATURES,))
    hidden = keras.layers.Dense(6, activation="tanh", **dense)(inputs)
    if dropout:
        hidden = keras.layers.Dropout(dropout)(hidden)
    return keras.Model(inputs, keras.layers.Dense(CLASSES)(hidden))


def sequential(built: bool = True) -> keras.Model:
    layers = [keras.layers.Dense(6, activation="tanh"), keras.layers.Dense(CLASSES)]
    return keras.Sequential([keras.Input((FEATURES,)), *layers] if built else layers)


def normalized() -> keras.Model:
    return keras.Sequential(
        [
            keras.Input((FEATURES,)),
            keras.layers.Dense(6),
            keras.layers.BatchNormalization(),
            keras.layers.ReLU(),
            keras.layers.Dense(CLASSES),
        ]
    )


def standardized() -> keras.Model:
    """A classifier with weights that are integers, those of an adapted normalization."""
    normalization = keras.layers.Normalization()
    normalization.adapt(arrays()[0])
    layers = [normalization, keras.layers.Dense(6, activation="tanh"), keras.layers.Dense(CLASSES)]
    return keras.Sequential([keras.Input((FEATURES,)), *layers])


def of_a_dict() -> keras.Model:
    inputs = {name: keras.Input((FEATURES // 2,), name=name) for name in ("left", "right")}
    joined = keras.layers.Concatenate()([inputs["left"], inputs["right"]])
    return keras.Model(inputs, keras.layers.Dense(CLASSES)(joined))


def as_dict(inputs: np.ndarray) -> dict[str, np.ndarray]:
    return {"left": inputs[:, : FEATURES // 2], "right": inputs[:, FEATURES // 2 :]}


@keras.saving.register_keras_serializable("gdw_tf_tests")
class Subclassed(keras.Model):
    def __init__(self, units: int = 6, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.units = units
        self.hidden = keras.layers.Dense(units, activation="tanh")
        self.dropout = keras.layers.Dropout(0.3)
        self.last = keras.layers.Dense(CLASSES)

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        return self.last(self.dropout(self.hidden(inputs), training=training))

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "units": self.units}


@keras.saving.register_keras_serializable("gdw_tf_tests")
class WithoutTraining(Subclassed):
    def call(self, inputs: Any) -> Any:
        return self.last(self.dropout(self.hidden(inputs)))


def subclassed(built: bool = False, kind: type[keras.Model] = Subclassed) -> keras.Model:
    model = kind()
    if built:
        model(np.zeros((1, FEATURES), np.float32))
    return model


CLASSIFIERS = {
    "functional": functional,
    "sequential": sequential,
    "sequential, unbuilt": lambda: sequential(built=False),
    "batch-normalized": normalized,
    "standardized": standardized,
    "with dropout": lambda: functional(dropout=0.3),
    "subclassed": lambda: subclassed(built=True),
    "subclassed, unbuilt": subclassed,
    "subclassed, call without training": lambda: subclassed(kind=WithoutTraining),
}


# A first stage would double the time of tests that are not about it.
KNOWN_TRANSITIONS = {"transition_matrix": np.full((CLASSES, CLASSES), 0.1) + 0.7 * np.eye(CLASSES)}
OPTIONS: dict[str, dict[str, Any]] = {"glc": KNOWN_TRANSITIONS, "forward": KNOWN_TRANSITIONS}
# Those that read features off a graph of layers take no other classifier.
METHODS_OF_ANY_CLASSIFIER = [
    name for name, method in gdw_tf.METHODS.items() if not issubclass(method, LabelNetMethod)
]


def compiled(
    method: str,
    classifier: Callable[[], keras.Model] = functional,
    *,
    seed: int = 7,
    options: dict[str, Any] | None = None,
    **compile_arguments: Any,
) -> gdw_tf.Method:
    """A compiled model; equal arguments give equal weights."""
    keras.utils.set_random_seed(seed)
    options = {**OPTIONS.get(method, {}), **(options or {})}
    model = gdw_tf.METHODS[method](classifier(), seed=seed, **options)
    model.compile(**{"metrics": ["accuracy"], **compile_arguments})
    return model

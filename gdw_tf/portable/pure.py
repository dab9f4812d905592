"""Training and evaluation step of a method as pure functions, and these as StableHLO.

A step of `fit` reads and writes variables. As a pure function it is

    state, batch  ->  logs, state

where the state is the value of every variable that a step can reach: the classifier's weights,
moving statistics and the random state of its dropout, the weight net, both optimizers with their
learning rates, what a method remembers, the number of steps taken, `progress`, and the sums behind
the metrics. The logs are what `fit` logs: means over the epoch so far.

TensorFlow makes such a function of a step that is written around: first every variable is assigned
its part of the state, last every one is read. Between the two runs `train_step` or `test_step` as
it is, so that there is no second step that could differ from that of `fit`. Under XLA assigning
and reading cost nothing.

As StableHLO, the function `main` has these inputs and outputs, batch and logs in the order of their
names:

    inputs     the state, the batch, once more the state
    outputs    the logs, the state, once more the state

The repetitions are what TensorFlow adds for the variables themselves: their values before the call,
which nothing reads because all are assigned first, and after it. What is passed for them does not
matter, and a compiler drops them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import keras
import tensorflow as tf

from gdw_tf import data, experiment
from gdw_tf.methods import Method
from gdw_tf.settings import Settings

Tensors = Mapping[str, tf.Tensor]
Step = Callable[[Method, Tensors], dict[str, tf.Tensor]]
"""Takes a step of a model by a batch, through its variables, and answers the logs."""


class Program(NamedTuple):
    """A pure step, compiled for batches of one size.

    Attributes:
        stablehlo: a portable artifact of StableHLO, as MLIR bytecode.
        state: the tensors of the state by name, in their order.
        batch: the tensors of a batch by name, in their order.
        logs: the tensors of the logs by name, in their order.
    """

    stablehlo: bytes
    state: dict[str, tf.TensorSpec]
    batch: dict[str, tf.TensorSpec]
    logs: dict[str, tf.TensorSpec]


def started_model(settings: Settings, source: data.Source, noisy: data.NoisyData) -> Method:
    """The model of a run before its first step, with all variables that its steps need.

    What Keras keeps for the process is cleared: layers without a name are numbered in it, and the
    names of a state must be the same in every process.
    """
    keras.utils.clear_session()
    model = experiment.build_model(settings, source, noisy)
    experiment.start(
        model, experiment.batch_streams(settings, source, noisy, 0), len(noisy.y_train)
    )
    model.test_on_batch(noisy.x_test[:1], noisy.y_test[:1])  # Keras makes metrics by a batch
    model.reset_metrics()
    return model


def state_variables(model: Method) -> dict[str, keras.Variable]:
    """The variables of a started model by their paths, in the order of the state.

    They are the names of a state. Where several have one path, as those of two networks of the same
    kind, the second one is called `path#2` and so on.
    """
    found = [
        *model.variables,
        *model.metrics_variables,
        *model.optimizer.variables,
        *(model.weight_optimizer.variables if hasattr(model, "weight_optimizer") else []),
    ]
    if model.base_loss is not None and model.base_loss.progress is not None:
        found.append(model.base_loss.progress)
    named: dict[str, keras.Variable] = {}
    for variable in {id(variable): variable for variable in found}.values():
        number, name = 1, variable.path
        while name in named:
            number += 1
            name = f"{variable.path}#{number}"
        named[name] = variable
    return named


def state_values(model: Method) -> dict[str, Any]:
    """The state as arrays by the names of `state_variables`, each of its variable's dtype."""
    return {name: variable.numpy() for name, variable in state_variables(model).items()}


def check_state(model: Method, values: Mapping[str, Any]) -> None:
    """Checks that a state is one of a started model.

    Args:
        model: the model.
        values: an array for each name of `state_variables`; others are left out of account.

    Raises:
        ValueError: a variable has no value, or one of another shape.
    """
    for name, variable in state_variables(model).items():
        received = values[name].shape if name in values else None
        if received != tuple(variable.shape):
            raise ValueError(
                f"The state does not fit the model at {name}. Received: shape {received}; allowed: "
                f"{tuple(variable.shape)}."
            )


def assign_state(model: Method, values: Mapping[str, Any]) -> None:
    """Gives a started model a state.

    Args:
        model: the model.
        values: an array for each name of `state_variables`, such as `check_state` lets pass.

    Raises:
        KeyError: a variable has no value.
    """
    for name, variable in state_variables(model).items():
        variable.assign(values[name])


def training_batch(
    model: Method, image_shape: tuple[int, ...], batch_size: int, meta_batch_size: int
) -> dict[str, tf.TensorSpec]:
    """What a training step takes beside the state.

    Args:
        model: the model.
        image_shape: (height, width, channels).
        batch_size: B.
        meta_batch_size: B_meta, of a method that needs a meta set.

    Returns:
        The tensors by name: `images`, uint8, (B, height, width, channels); `labels`, the classes,
        and `index`, the numbers of the examples, both int32, (B,); where the method needs a meta
        set, `meta_images` and `meta_labels` likewise.
    """
    batch = {
        "images": tf.TensorSpec((batch_size, *image_shape), tf.uint8),
        "labels": tf.TensorSpec((batch_size,), tf.int32),
        "index": tf.TensorSpec((batch_size,), tf.int32),
    }
    if model.needs_meta_set:
        batch["meta_images"] = tf.TensorSpec((meta_batch_size, *image_shape), tf.uint8)
        batch["meta_labels"] = tf.TensorSpec((meta_batch_size,), tf.int32)
    return batch


def evaluation_batch(image_shape: tuple[int, ...], batch_size: int) -> dict[str, tf.TensorSpec]:
    """What an evaluation step takes beside the state: `images` and `labels`, as for training."""
    return {
        "images": tf.TensorSpec((batch_size, *image_shape), tf.uint8),
        "labels": tf.TensorSpec((batch_size,), tf.int32),
    }


def train(model: Method, batch: Tensors) -> dict[str, tf.Tensor]:
    """Takes the training step of `fit` on a batch of `training_batch`."""
    meta = (batch["meta_images"], batch["meta_labels"]) if "meta_images" in batch else ()
    return model.train_step(((batch["images"], batch["labels"], (), batch["index"]), meta))


def evaluate(model: Method, batch: Tensors) -> dict[str, tf.Tensor]:
    """Takes the step of Keras's `evaluate` on a batch of `evaluation_batch`."""
    return model.test_step((batch["images"], batch["labels"]))


def pure(model: Method, step: Step) -> Any:
    """Makes a pure function of a step.

    Args:
        model: a started model; its variables are left at the state that was answered last.
        step: `train` or `evaluate`.

    Returns:
        A `tf.function` that XLA compiles, of the state, a list, and the batch, a dict. It answers
        the logs, a dict, and the state, a list.
    """
    variables = state_variables(model).values()

    @tf.function(jit_compile=True, autograph=False)
    def function(state: list[tf.Tensor], batch: Tensors) -> tuple[Tensors, list[tf.Tensor]]:
        for variable, value in zip(variables, state, strict=True):
            variable.value.assign(value)
        logs = step(model, batch)
        return logs, [variable.value.read_value() for variable in variables]

    return function


def program(model: Method, step: Step, batch: Mapping[str, tf.TensorSpec]) -> Program:
    """Compiles the pure function of a step to StableHLO.

    Args:
        model: a started model.
        step: `train` or `evaluate`.
        batch: what the step takes beside the state, of one batch size.

    Raises:
        ValueError: the step reaches a variable that is not part of the state, or calls a library of
            the device that it was compiled for.
        tf.errors.OpError: XLA cannot compile an operation of the step.
    """
    state = {
        name: tf.TensorSpec(variable.shape, variable.dtype)
        for name, variable in state_variables(model).items()
    }
    function, arguments = pure(model, step), (list(state.values()), dict(batch))
    traced = function.get_concrete_function(*arguments)
    # The variables come in the order in which they are assigned; another one would come after them.
    known = [variable.value.handle for variable in state_variables(model).values()]
    reached = traced.captured_inputs
    if [id(handle) for handle in reached] != [id(handle) for handle in known]:
        raise ValueError(
            f"{type(model).__name__} uses what is not part of the state. Received: "
            f"{len(reached)} variables and other tensors; allowed: the {len(known)} of the state."
        )
    of_that_kind = tf.nest.map_structure(lambda spec: tf.zeros(spec.shape, spec.dtype), arguments)
    stablehlo = function.experimental_get_compiler_ir(*of_that_kind)(
        stage="stablehlo_serialized", platform_name="CPU"
    )
    if b"custom_call" in stablehlo:
        raise ValueError(
            f"The step of {type(model).__name__} calls a library of this device and is not "
            "portable. Received: StableHLO with a custom_call; allowed: operations of StableHLO."
        )
    logs = {
        name: tf.TensorSpec(log.shape, log.dtype)
        for name, log in sorted(traced.structured_outputs[0].items())
    }
    return Program(stablehlo, state, dict(sorted(batch.items())), logs)

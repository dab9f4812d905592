"""Trains methods on one replica and on two, in a process of its own, and prints how they differ.

Logical devices are made before TensorFlow starts, which is why this is no test module.
"""

from __future__ import annotations

import contextlib
import json

import keras
import numpy as np
import tensorflow as tf

import gdw_tf
from gdw_tf import methods

from . import examples

X, Y = examples.arrays(48)
META = examples.arrays(18, seed=1)
VALIDATION = examples.arrays(15, seed=2)  # the last batch has two and one for the replicas
STEPS = 20
BATCH, EPOCHS = 12, STEPS // (48 // 12)

CASES = {
    "gdw": {"memory": 0.5, "pair_memory": 0.9, "meta_loss": "mae", "meta_weight": 0.3},
    "l2rw": {},
    "insw": {},
    "mlc": {},
    "elr": {},
    "co_teaching": {},
    "glc": {},
}


def regularized() -> keras.Model:
    return examples.functional(kernel_regularizer="l2")


def synchronized() -> keras.Model:
    classifier = examples.normalized()
    gdw_tf.classifiers.synchronize_normalization(classifier)
    return classifier


def trained(
    name,
    options,
    strategy,
    classifier=regularized,
    *,
    batch=BATCH,
    meta_batch=6,
    epochs=EPOCHS,
    validation_data=None,
    record=True,
    clipping=None,
    **compiled,
):
    keras.utils.set_random_seed(0)
    with strategy.scope():
        model = methods.by_name(name)(classifier(), seed=1, **options)
        if clipping:
            compiled["weight_optimizer"] = gdw_tf.CoupledAdam(1e-2, **clipping)
        model.compile(
            gdw_tf.CoupledSGD(0.1, **(clipping or {})),
            metrics=["accuracy"],
            record_examples=record,
            **compiled,
        )
    weights = np.linspace(0.5, 1.5, len(X))
    history = model.fit(
        X,
        Y,
        sample_weight=weights,
        meta_data=META,
        batch_size=batch,
        meta_batch_size=meta_batch,
        epochs=epochs,
        validation_data=validation_data,
        verbose=0,
    )
    return model, history.history


def skipped_step(model):
    """What a step leaves of the weights where one replica's half of the batch overflows."""
    before = model.classifier.get_weights()
    scale = float(model.optimizer.dynamic_scale.numpy())
    inputs = X[:BATCH].copy()
    inputs[: BATCH // 2] = 1e5
    arguments = {"batch_size": BATCH, "meta_batch_size": 6, "shuffle": False, "verbose": 0}
    with contextlib.suppress(FloatingPointError):  # of the loss, once the step is over
        model.fit(inputs, Y[:BATCH], meta_data=META, **arguments)
    same = map(np.array_equal, before, model.classifier.get_weights())
    return all(same), float(model.optimizer.dynamic_scale.numpy()) / scale


def spoilt_step(model):
    """What is left of a step whose numbers one replica spoils, and of a sound one before it."""
    sound = X.astype(np.float64)
    spoilt = sound.copy()
    spoilt[: BATCH // 2] = 1e300  # of an infinite variance
    arguments = {"batch_size": BATCH, "meta_batch_size": 6, "shuffle": False, "verbose": 0}
    arguments |= {"meta_data": META, "steps_per_epoch": 1}
    model.steps_taken.assign(0)
    model.fit(sound, Y, **arguments)
    before = [value for variable in variables_of(model) for value in on_replicas(variable)]
    model.steps_taken.assign(0)
    with contextlib.suppress(FloatingPointError):  # as there was no other step in the epoch
        model.fit(spoilt, Y, **arguments)
    after = [on_replicas(variable) for variable in variables_of(model)]
    return {
        "replicas differ by": max(np.abs(one - other).max() for one, other in after),
        "changed by": max(
            np.abs(one - other).max()
            for one, other in zip(before, [each for pair in after for each in pair], strict=True)
        ),
        "steps": [int(model.steps_taken.numpy()) + 1, int(model.non_finite_steps.numpy())],
    }


def variables_of(model):
    """What replicas have in common, of floating point."""
    every = [*model.classifier.trainable_variables, *model.weight_net.trainable_variables]
    every += [model.example_memory, *model.optimizer.variables, *model.weight_optimizer.variables]
    return [variable for variable in every if np.issubdtype(variable.numpy().dtype, np.floating)]


def on_replicas(variable):
    return [one.numpy() for one in variable.value.values]


def early_learning_targets(strategy):
    """The targets of a Keras model's loss after two steps, on each replica."""
    keras.utils.set_random_seed(0)
    with strategy.scope():
        classifier = examples.functional()
        loss = gdw_tf.losses.EarlyLearning(8, num_classes=3)
        classifier.compile("sgd", loss)
    columns = np.stack([Y[:8], np.arange(8)], axis=1)
    # In another order, in which examples change replicas.
    for order in (np.arange(8), np.arange(8)[::-1]):
        classifier.fit(X[:8][order], columns[order], batch_size=8, shuffle=False, verbose=0)
    values = loss.targets.value
    return [one.numpy() for one in getattr(values, "values", [values])]


def refusal(name, options, strategy, **compiled):
    try:
        trained(name, options, strategy, **compiled)
    except ValueError as error:
        return str(error)
    return "none"


def largest_difference(one, other):
    pairs = zip(one.get_weights(), other.get_weights(), strict=True)
    return max(float(np.abs(a - b).max()) for a, b in pairs if np.issubdtype(a.dtype, np.floating))


def sums_of_a_step(model):
    """The numbers that each sum over the replicas takes, in a training step."""
    data = (((X[:6], Y[:6], (), np.arange(6)), (META[0][:3], META[1][:3])),)
    step = tf.function(lambda: model.distribute_strategy.run(model.train_step, args=data))
    return [
        operation.inputs[0].shape.num_elements()
        for operation in step.get_concrete_function().graph.get_operations()
        if operation.type == "CollectiveReduceV2" and operation.device.endswith(":0")
    ]


def main() -> None:
    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(cpu, 2 * [tf.config.LogicalDeviceConfiguration()])
    one, two = tf.distribute.get_strategy(), tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
    plain = {strategy: trained("gdw", {}, strategy)[0] for strategy in (one, two)}
    results = {
        "classifier_weights": plain[two].classifier.count_params(),
        "outer_weights": plain[two].weight_net.count_params(),
        "sums": sums_of_a_step(plain[two]),
        "float32": largest_difference(plain[one], plain[two]),
    }
    keras.config.set_dtype_policy("mixed_float16")
    results["float16"] = skipped_step(trained("gdw", {}, two, record=False, epochs=0)[0])
    keras.config.set_floatx("float64")
    keras.config.set_dtype_policy("float64")
    for name, options in CASES.items():
        # The validation of one network, and of two, is the same for all methods.
        validation_data = VALIDATION if name in ("gdw", "co_teaching") else None
        (single, logs), (pair, pair_logs) = (
            trained(name, options, each, validation_data=validation_data) for each in (one, two)
        )
        keras.utils.set_random_seed(0)
        results[name] = {
            "moved": largest_difference(single.classifier, regularized()),
            "weights": largest_difference(single, pair),
            "logs": max(np.abs(np.subtract(logs[log], pair_logs[log])).max() for log in logs),
        }
    uneven = {"batch": 13, "meta_batch": 7}  # parts of seven and six, and four and three
    options = {"memory": 0.5}
    (single, _), (pair, _) = (trained("gdw", options, each, **uneven) for each in (one, two))
    results["uneven"] = largest_difference(single, pair)
    results["clipped"] = {}
    for kind, limit in {"clipnorm": 1e-3, "global_clipnorm": 1e-3, "clipvalue": 1e-4}.items():
        clipping = {"clipping": {kind: limit}}
        (single, _), (pair, _) = (trained("gdw", {}, each, **clipping) for each in (one, two))
        results["clipped"][kind] = largest_difference(single, pair)
    targets = [*early_learning_targets(one), *early_learning_targets(two)]
    results["targets"] = [float(np.abs(each - targets[0]).max()) for each in targets]
    results["targets moved"] = float(targets[0].sum(axis=1).min())
    skipping, _ = trained(
        "gdw", {"memory": 0.5}, two, examples.normalized, epochs=0, on_non_finite="skip"
    )
    results["skipped"] = spoilt_step(skipping)
    (single, _), (pair, _) = (trained("gdw", {}, each, synchronized) for each in (one, two))
    results["refused"] = [
        refusal(name, options, two)
        for name, options in (("fine_tune", {}), ("gdw", {"meta_every": 2}))
    ]
    accumulated = {"clipnorm": 1.0, "gradient_accumulation_steps": 2}
    results["refused"].append(refusal("gdw", {}, two, clipping=accumulated))
    results["synchronized"] = largest_difference(single, pair)
    print(json.dumps(results))


if __name__ == "__main__":
    main()

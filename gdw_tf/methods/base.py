"""`Method`: a Keras model that trains a classifier, whatever the rule by which it is trained.

Every method of this library ends a training step in the same way: it pulls some gradient on the
logits back through the classifier and hands the result to the optimizer,

    theta <- optimizer(theta, J(z)^T u / B + gradient of the regularisers).

What differs is u (B, C). Plain training has u = softmax(z) - onehot(y); a meta method finds
better numbers with a look at the meta set (`gdw_tf.methods.meta`). This class owns all the rest:
data, compile, fit, logging, saving, export.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

from gdw_tf import (
    classifiers,
    data_checks,
    finite,
    fit_data,
    fit_streams,
    loss_scale,
    replicas,
    serving,
)
from gdw_tf.batch import (
    Batch,
    column,
    mean,
    mean_cross_entropy,
    mean_over_batch,
    standardized,
    training_batch,
)
from gdw_tf.callbacks import MetaEvaluation, ReportProgress
from gdw_tf.checks import check_boolean, check_integer
from gdw_tf.fit_arguments import check_class_weight, check_fit_arguments
from gdw_tf.keras_distribution import has_workers, of_all_workers
from gdw_tf.labels import named_labels, one_hot_labels
from gdw_tf.lookahead import ForwardPass, in_full_precision
from gdw_tf.losses.softmax_loss import SoftmaxLoss
from gdw_tf.methods.watched import WatchedModel
from gdw_tf.metrics import Accuracy, build_metrics
from gdw_tf.optimizers import CoupledSGD, clipped_as_one, clips

META_LOGS = ("meta_loss", "meta_accuracy")
"""What is reported of meta batches."""


class Method(WatchedModel):
    """Base class of the training methods; wraps a classifier and answers its logits.

    A subclass says in `training_gradient` by which gradient on the logits the classifier is
    trained, in `reported` which of its quantities are logged beside the loss, and in
    `option_names` which arguments of its own it takes, which are attributes of the same names.
    One that remembers something of every training example says in `memory_width` how much, and one
    that remembers something else names the attribute in `late_variables`; one that cannot do
    without a meta set says so in `needs_meta_set`, and one whose plain steps are taken on meta
    batches in `steps_on_meta_batches`. For the others the meta set plays
    no part in training: it is evaluated after every epoch and logged as `meta_loss` and
    `meta_accuracy`, so that the epoch to keep can be chosen on it.

    Attributes:
        classifier: the classifier.
        base_loss: the loss that a method which can work with any softmax loss was given; else
            `None`.
        option_names: the arguments of its own that a subclass takes.
        reported: the quantities of a step that a subclass logs.
        networks: all networks that are trained; the classifier is the first.
        progress: how much of the training is done, 0 to 1, a scalar variable that `fit` sets at the
            start of every epoch: epoch / epochs.
        steps_taken, non_finite_steps, rollbacks, on_non_finite: see `WatchedModel`.
        example_memory: see `StatefulModel`.
        record_examples, training_record: see `gdw_tf.methods.recorded`.

    Args:
        classifier: any Keras model that answers logits, (B, C).
        seed: seed of the order in which `fit` takes arrays; by default drawn from Python's
            generator, which `keras.utils.set_random_seed` sets.
        name: the model's name.
        dtype: the dtype policy; default Keras's. Under `"mixed_float16"` gradients are scaled.

    Raises:
        TypeError: `classifier` is not a Keras model; `seed` is not an integer.
        ValueError: `classifier` ends in softmax; `seed` is negative.
    """

    option_names: tuple[str, ...] = ()
    reported: tuple[str, ...] = ()
    base_loss: SoftmaxLoss | None = None
    needs_meta_set = False
    steps_on_meta_batches = False

    def __init__(
        self,
        classifier: keras.Model,
        *,
        seed: int | None = None,
        name: str | None = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(name=name, dtype=dtype)
        classifiers.check_ends_in_logits(classifier)
        self.classifier = classifier
        self.seed = (
            random.randrange(2**31) if seed is None else check_integer("seed", seed, 0, 2**63 - 1)
        )
        self.step_metrics = {name: keras.metrics.Mean(name=name) for name in self.reported}
        self.progress = self.add_weight(
            shape=(), initializer="zeros", trainable=False, name="progress"
        )
        # A functional classifier has its weights already; others get them with the first batch.
        self.built = classifier.built

    def call(self, inputs: Any, training: bool | None = None) -> tf.Tensor:
        """Answers the classifier's logits, (B, C)."""
        return self.classifier(inputs, training=training)

    @property
    def networks(self) -> list[keras.Model]:
        """The networks that are trained."""
        return [self.classifier]

    @property
    def optimizers(self) -> list[keras.optimizers.Optimizer]:
        """The optimizers of a compiled model."""
        return [self.optimizer]

    @property
    def one_replica_because(self) -> str:
        """What keeps the method from several replicas of a strategy; empty where nothing does.

        A step under a strategy cannot take one of two branches that both update weights.
        """
        return ""

    def check_replicas(self) -> None:
        """Checks that the method works under the strategy that the model was made in; see `fit`.

        Raises:
            ValueError: it works on one replica, or accumulates gradients that it clips, and there
                are more.
        """
        num_replicas = self.distribute_strategy.num_replicas_in_sync
        if num_replicas > 1 and self.one_replica_because:
            raise ValueError(
                f"{self.one_replica_because} works on one replica: its steps are of two kinds. "
                f"Received: a strategy of {num_replicas} replicas; allowed: 1."
            )
        for optimizer in self.optimizers if num_replicas > 1 else ():
            steps = getattr(optimizer, "inner_optimizer", optimizer).gradient_accumulation_steps
            if steps and clips(optimizer):
                raise ValueError(
                    "Gradients that are accumulated cannot be clipped on several replicas, each of "
                    f"which accumulates its own. Received: {type(optimizer).__name__} with "
                    f"gradient_accumulation_steps={steps} and clipping, and {num_replicas} replicas"
                )

    # Training.

    def training_gradient(
        self, forward: ForwardPass, batch: Batch, meta_batch: Batch | None
    ) -> dict[str, tf.Tensor]:
        """Says by which gradient on the logits the classifier is trained.

        Args:
            forward: the forward pass on the batch.
            batch: its labels one-hot (B, C), its sample weights (B, 1) or `None`.
            meta_batch: the same of the meta set; `None` where `fit` was given none.

        Returns:
            Named quantities of the step: `logit_gradient`, u (B, C), before the factor 1/B and
            the sample weights; a scalar, or a tensor to be averaged, for each name in
            `reported`; and whatever else an observer may want to see.
        """
        raise NotImplementedError(f"{type(self).__name__} must define training_gradient.")

    def training_step(self, data: tuple[Any, Any]) -> dict[str, tf.Tensor]:
        """Takes one training step.

        Args:
            data: a pair of batches, training and meta, each the two to four parts of `Batch`;
                the meta batch is `()` for a method that needs none.

        Returns:
            What `training_gradient` returns, and `logits` (B, C), `loss` (the cross-entropy,
            a scalar) and `non_finite`: for each of `quantities` on how many replicas it is not
            finite, (Q,), float32.

        Raises:
            ValueError: `data` is no pair of batches.
        """
        inputs = training_batch(data).inputs
        if self.base_loss is not None and self.base_loss.progress is not None:
            self.base_loss.progress.assign(self.progress)
        forward = ForwardPass(self.classifier, inputs)
        batch, meta_batch = standardized(data, forward.logits)
        step = self.training_gradient(forward, batch, meta_batch)
        weight_gradients, variables = self.weight_gradients(forward, batch, meta_batch, step)
        scale = None
        if isinstance(self.optimizer, keras.optimizers.LossScaleOptimizer):
            weight_gradients = loss_scale.agreed(weight_gradients)
            scale = tf.identity(self.optimizer.dynamic_scale.value)
        self.optimizer.apply(clipped_as_one(self.optimizer, weight_gradients), variables)
        loss = mean_cross_entropy(forward.logits, batch.labels, batch.sample_weight)
        non_finite = [
            finite.is_lost([loss]),
            *tf.unstack(step.get("non_finite", tf.zeros(0))),
            loss_scale.lost_for_good(weight_gradients, scale),
            finite.is_lost([weight for network in self.networks for weight in network.weights]),
        ]
        # The order of arrays is drawn by the number of steps taken (`fit_streams`): a step must
        # not be counted while its batch is still being drawn, which a graph is free to do. (A
        # dependency on the batch itself is lost where the step is a branch of a condition.)
        with tf.control_dependencies([loss]):
            self.steps_taken.assign_add(1)
        return {
            **step,
            "logits": forward.logits,
            "loss": loss,
            "non_finite": replicas.total(tf.stack(non_finite)),
        }

    def weight_gradients(
        self, forward: ForwardPass, batch: Batch, meta_batch: Batch | None, step: dict[str, Any]
    ) -> tuple[list[tf.Tensor], list[keras.Variable]]:
        """Pulls the logit gradient back to the weights, for the optimizer.

        A method that trains a second network, or by a second forward pass, adds its gradients here.

        Args:
            forward: the forward pass on the batch.
            batch: as in `training_gradient`.
            meta_batch: as in `training_gradient`.
            step: what `training_gradient` returned.

        Returns:
            The gradients, those of the regularisers added, and their variables.
        """
        return self.pulled_back(forward, step["logit_gradient"], batch)

    def pulled_back(
        self,
        forward: ForwardPass,
        logit_gradient: tf.Tensor,
        batch: Batch,
        *,
        regularized: bool = True,
    ) -> tuple[list[tf.Tensor], list[keras.Variable]]:
        """Pulls u (B, C) back through the forward pass on a batch, for the optimizer.

        The gradients have the optimizer's loss scale and are those of this replica's part of the
        global batch: the optimizer sums them over the replicas.
        """
        gradient = mean_over_batch(logit_gradient, batch.sample_weight) * batch.share
        scale = self.optimizer.scale_loss(tf.ones((), gradient.dtype))  # 1 in full precision
        gradients = forward.gradients(
            gradient * scale,
            regularization_gradient=scale / replicas.count() if regularized else None,
        )
        return gradients, forward.variables

    def step_and_logs(
        self, data: tuple[Any, Any]
    ) -> tuple[dict[str, tf.Tensor], dict[str, tf.Tensor]]:
        """Takes one training step and updates the metrics."""
        step = self.training_step(data)
        batch = Batch.of(data[0])
        size = tf.shape(step["logits"])[0]
        self._loss_tracker.update_state(step["loss"], sample_weight=size)
        meta_size = tf.shape(data[1][1])[0] if data[1] else 0
        self.update_step_metrics(step, size, meta_size)
        logs = self.compute_metrics(batch.inputs, batch.labels, step["logits"], batch.sample_weight)
        return step, logs

    def update_step_metrics(
        self, step: dict[str, tf.Tensor], size: tf.Tensor, meta_size: tf.Tensor
    ) -> None:
        """Adds what is `reported` of a step to the epoch's means over its examples.

        Args:
            step: what `training_step` returned.
            size: the number of training examples, on this replica.
            meta_size: the number of meta examples, which `META_LOGS` are means over.
        """
        floatx = keras.config.floatx()
        measured = tf.cast(meta_size, floatx) * tf.cast(step.get("is_measured", 1.0), floatx)
        for name, metric in self.step_metrics.items():
            weight = measured if name in META_LOGS else size
            metric.update_state(mean(step[name]), sample_weight=weight)

    def test_step(self, data: tuple[Any, ...]) -> dict[str, tf.Tensor]:
        """Evaluates one batch; what only training measures is left out."""
        logs = super().test_step(data)
        return {name: value for name, value in logs.items() if name not in self.step_metrics}

    def compute_loss(
        self,
        x: Any = None,
        y: tf.Tensor | None = None,
        y_pred: tf.Tensor | None = None,
        sample_weight: tf.Tensor | None = None,
        training: bool = True,
    ) -> tf.Tensor:
        """The mean cross-entropy in nats, without any learned weight and without regularisers.

        Sample weights multiply each example's share, the mean is over the number of examples.
        """
        y_pred = in_full_precision(y_pred)
        labels = one_hot_labels(y, y_pred.shape[-1], y_pred.dtype)
        # As Keras has it, which sums the losses of the replicas.
        return mean_cross_entropy(y_pred, labels, column(sample_weight, y_pred)) / replicas.count()

    # Keras's life cycle.

    def compile(
        self,
        optimizer: Any = None,
        loss: Any = None,
        *,
        on_non_finite: str = "stop",
        record_examples: bool = False,
        **kwargs: Any,
    ) -> None:
        """Configures training.

        Args:
            optimizer: a Keras optimizer or its name; default `CoupledSGD()`, the paper's.
            loss: left out; the loss is the cross-entropy on the logits. A Keras
                cross-entropy with `from_logits=True` is accepted.
            on_non_finite: what `fit` does with a step of which a loss, a gradient or a weight is
                infinite or NaN: `"stop"` (default) ends with an error, before any callback
                of `fit` sees the step; `"skip"` leaves the model, its optimizers and its metrics as
                they were before the step, warns, and goes on, unless an epoch has no other steps.
                To go back to a checkpoint, see `gdw_tf.callbacks.RollBack`. (An overflow that a
                smaller loss scale cures is none of these.)
            record_examples: whether `fit` keeps a record of every training example for
                `gdw_tf.audit` and `gdw_tf.report`; default not. See
                `gdw_tf.methods.recorded`: 4 (1 + 2 C) bytes an example, with the model saved. A
                `tf.data.Dataset` must then carry the index of its examples, see `fit`.
            **kwargs: Keras's own: `metrics`, `weighted_metrics`, `run_eagerly`,
                `steps_per_execution`, `jit_compile`, `auto_scale_loss`. The metric `"accuracy"` is
                `gdw_tf.Accuracy`, for labels of any form.

        Raises:
            TypeError: `record_examples` is not a boolean.
            ValueError: another loss; another `on_non_finite`.
        """
        _check_loss(loss)
        if on_non_finite not in finite.POLICIES:
            raise ValueError(
                f"on_non_finite is unknown. Received: on_non_finite={on_non_finite!r}; allowed: "
                f"{', '.join(finite.POLICIES)}."
            )
        for name in {"metrics", "weighted_metrics"} & kwargs.keys():
            kwargs[name] = keras.tree.map_structure(_of_any_labels, kwargs[name])
        super().compile(CoupledSGD() if optimizer is None else optimizer, **kwargs)
        self.on_non_finite = on_non_finite
        self.record_examples = check_boolean("record_examples", record_examples)

    def get_compile_config(self) -> dict[str, Any]:
        """Keras's, with the policy for steps that are not finite, and whether they are recorded."""
        config = super().get_compile_config()
        own = {"on_non_finite": self.on_non_finite, "record_examples": self.record_examples}
        return {**config, **own} if self.compiled else config

    def fit(
        self,
        x: Any = None,
        y: Any = None,
        *,
        meta_data: Any = None,
        batch_size: int | None = None,
        meta_batch_size: int | None = None,
        validation_split: float = 0.0,
        validation_data: Any = None,
        validation_batch_size: int | None = None,
        shuffle: bool = True,
        class_weight: Mapping[int, float] | None = None,
        sample_weight: Any = None,
        steps_per_epoch: int | None = None,
        num_examples: int | None = None,
        callbacks: Any = None,
        **kwargs: Any,
    ) -> keras.callbacks.History:
        """Trains the classifier; `keras.Model.fit` with a meta set.

        Args:
            x: a `tf.data.Dataset` of batches `(inputs, labels[, sample_weight])`, or arrays. For a
                method that remembers or records every example, batches `(inputs, labels,
                sample_weight or None, index)`; arrays are numbered in their order. Or a function
                that returns the endless data set of a worker for its
                `tf.distribute.InputContext`: for each step a part of the batch for each of its
                replicas. Without it, every one of several workers makes the whole batch and keeps
                its parts.
            y: labels beside arrays: integers (N,) or (N, 1), or one-hot (N, C).
            meta_data: the clean set: a `tf.data.Dataset` of batches, repeated in its own order,
                or arrays `(x, y[, sample_weight])`, repeated and shuffled; a function where `x`
                is one. Where the method does not train on it, one pass of it is evaluated after
                every epoch.
            batch_size: batch size of arrays; default 32.
            meta_batch_size: batch size of a meta set given as arrays; default `batch_size`, and
                never more than the meta set.
            validation_split: share of arrays, their last, kept for validation; default none.
            validation_data: as in Keras, or a function as `x` is, of a data set with an end.
            validation_batch_size: as in Keras; default `batch_size`.
            shuffle: whether arrays are shuffled, anew in every pass; default yes.
            class_weight: factor of each class's examples in the loss, multiplied with
                `sample_weight` where both are given. It is one of training examples; of clean ones
                only where plain steps are taken on them (`clean_only`, the end of `fine_tune`).
            sample_weight: factor of each example in the loss, (N,); default 1.
            steps_per_epoch: training steps an epoch; default one pass over the training data.
            num_examples: N, the number of training examples behind the index of a data set.
            callbacks: as in Keras.
            **kwargs: Keras's own: `epochs`, `verbose`, `initial_epoch`, `validation_steps`,
                `validation_freq`.

        Returns:
            Keras's history.

        Raises:
            TypeError: data of another kind; labels that are neither integers nor one-hot.
            ValueError: the model is not compiled or ends in softmax; lengths, shapes or labels
                that do not fit; empty data; data without an end where no number of steps says
                what a pass is; no `meta_data` for a method that needs them; numbers out of their
                range; a `RollBack` beside `on_non_finite="skip"`. Labels in a `tf.data.Dataset` are
                found to be no classes when their batch is drawn.
            FloatingPointError: a step is not finite, see `compile`; the epoch, the step, both
                counted from 1, and the quantity are named.

        Warns:
            UserWarning: a class is missing from the meta set; meta examples are training examples
                too, in arrays.
        """
        if not self.compiled:
            raise ValueError("Call compile() before fit().")
        callbacks = keras.tree.flatten(callbacks or [])
        watch = self.default_watch(callbacks)
        if self.needs_meta_set and meta_data is None:
            raise ValueError(f"{type(self).__name__} needs a meta set. Received: meta_data=None")
        self.check_replicas()
        check_fit_arguments(
            batch_size=batch_size,
            meta_batch_size=meta_batch_size,
            validation_batch_size=validation_batch_size,
            steps_per_epoch=steps_per_epoch,
            num_examples=num_examples,
            shuffle=shuffle,
            callbacks=callbacks,
            **kwargs,
        )
        given = fit_data.read_all(
            *(x, y, sample_weight, meta_data, validation_data),
            is_meta_evaluated=not self.needs_meta_set,
            batch_size=batch_size,
            meta_batch_size=meta_batch_size,
            validation_split=validation_split,
            steps_per_epoch=steps_per_epoch,
            validation_steps=kwargs.get("validation_steps"),
        )
        training, meta = given.training, given.meta
        with self.distribute_strategy.scope():
            num_classes = self._prepare(
                training, {"meta_data": meta, "validation_data": given.validation}
            )
        data_checks.check_classes(training, meta, given.validation, num_classes)
        check_class_weight(class_weight, num_classes)
        if self.on_non_finite == "skip" and self.distribute_strategy.num_replicas_in_sync == 1:
            # A first step is undone like any other. (Of several replicas, Keras does so itself.)
            build_metrics(self, fit_data.labels_like(training), num_classes)
        callbacks = [*watch, *callbacks]
        if meta is not None and self.needs_meta_set:
            data_checks.warn_of_overlap(training, meta)
        elif meta is not None:
            evaluated = fit_streams.with_checked_labels(given.meta_data, num_classes)
            evaluated = of_all_workers(self.distribute_strategy, evaluated)
            callbacks, meta = [MetaEvaluation(evaluated, callbacks), *callbacks], None
        if self._needs_index(num_classes):
            num_examples = fit_data.number_of_examples(training, num_examples)
            with self.distribute_strategy.scope():
                self._make_memories(num_examples, num_classes)
        validation_data = fit_streams.with_checked_labels(given.validation_data, num_classes)
        arguments = {
            "validation_data": validation_data,
            "validation_batch_size": validation_batch_size or batch_size,
            "steps_per_epoch": steps_per_epoch,
            "callbacks": callbacks,
            **kwargs,
        }
        with self.distribute_strategy.scope():
            self.before_training(
                training,
                meta,
                num_classes,
                batch_size=batch_size,
                shuffle=shuffle,
                class_weight=class_weight,
                num_examples=num_examples,
                **arguments,
            )

        options = fit_streams.Options(
            num_classes=num_classes,
            seed=self.seed,
            steps_taken=lambda: int(self.steps_taken.numpy()),
            batch_size=batch_size,
            meta_batch_size=meta_batch_size,
            shuffle=shuffle,
            class_weight=class_weight,
            meta_class_weight=class_weight if self.steps_on_meta_batches else None,
            steps_per_epoch=steps_per_epoch,
            num_examples=num_examples if self._needs_index(num_classes) else None,
        )
        if callable(x) and has_workers(self.distribute_strategy):
            batches = of_all_workers(
                self.distribute_strategy,
                lambda context: fit_streams.pairs(
                    x(context), None if meta is None else meta_data(context), options
                ),
            )
        else:
            batches = fit_streams.pairs(training, meta, options)
        arguments |= {
            "callbacks": [ReportProgress(self.progress), *callbacks],
            "validation_data": of_all_workers(self.distribute_strategy, validation_data),
        }
        with named_labels():
            history = super().fit(
                batches,
                shuffle=False,  # the batches are in their order already
                **arguments,
            )
        if history.epoch and not history.history:
            raise ValueError("The training data or meta_data are empty: not one batch came.")
        return history

    def _needs_index(self, num_classes: int) -> bool:
        """Whether batches must carry the number of each example."""
        return self.record_examples or self.memory_width(num_classes) > 0

    def _make_memories(self, num_examples: int, num_classes: int) -> None:
        """Makes what is kept of every training example."""
        if self.memory_width(num_classes):
            self.remember(num_examples, self.memory_width(num_classes))
        if self.record_examples:
            self.make_record(num_examples, num_classes)

    def before_training(
        self,
        training: fit_data.Data,
        meta: fit_data.Data | None,
        num_classes: int,
        **arguments: Any,
    ) -> None:
        """What a method does before its training; called by `fit` once all data are checked.

        Args:
            training: the training data.
            meta: the meta set, where the method needs one.
            num_classes: C.
            **arguments: what else `fit` was given, but for the meta set's batch size.
        """

    def export(
        self,
        filepath: str,
        format: str = "tf_saved_model",
        verbose: bool | None = True,
        *,
        class_names: Sequence[str] | None = None,
    ) -> None:
        """Exports the classifier alone, for use without this library.

        The exported model takes what the classifier takes and answers `logits` and `probabilities`,
        both (B, C), and `label`, int32, (B,), by name. (Of a subclassed classifier Keras knows the
        shapes of its inputs alone: they are floats there.)

        Args:
            filepath: where to write: a directory for a SavedModel, a file for anything else.
            format: default `"tf_saved_model"`, a TensorFlow SavedModel; or `"onnx"`, `"litert"` or
                `"keras"`, see `gdw_tf.serving`, for a classifier that is a graph of layers.
            verbose: whether to say what was written.
            class_names: the name of each class, which goes with the model; default their numbers.

        Raises:
            ValueError: the classifier has no weights yet or is none that the format takes; an
                unknown format; names that are not one a class.
        """
        format = "saved_model" if format == "tf_saved_model" else format
        serving.write(self.classifier, Path(filepath), format, class_names=class_names)
        if verbose is None or verbose:
            print(f"exported to {filepath}")

    def get_config(self) -> dict[str, Any]:
        """Configuration: the classifier and the method's own options, `option_names`."""
        return {
            "classifier": keras.saving.serialize_keras_object(self.classifier),
            "seed": self.seed,
            "name": self.name,
            "dtype": keras.saving.serialize_keras_object(self.dtype_policy),
            **{
                name: keras.saving.serialize_keras_object(getattr(self, name))
                for name in self.option_names
            },
        }

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> Method:
        """Rebuilds the model from `get_config`."""
        return cls(
            **{
                name: keras.saving.deserialize_keras_object(value, custom_objects=custom_objects)
                for name, value in config.items()
            }
        )

    def compile_from_config(self, config: dict[str, Any]) -> None:
        """Compiles a loaded model and gives its optimizers their variables, to be loaded."""
        self.compile(**keras.saving.deserialize_keras_object(config))
        if self.built:
            self.build_optimizers()

    def build_optimizers(self) -> None:
        """Creates the optimizer's variables, for the weights of the networks alone."""
        if not self.optimizer.built:  # one that scales the loss builds its scale anew otherwise
            self.optimizer.build(
                [variable for network in self.networks for variable in network.trainable_variables]
            )

    def _prepare(self, training: fit_data.Data, others: dict[str, fit_data.Data | None]) -> int:
        """Builds all variables before training, so that callbacks can restore them.

        Args:
            training: the training data.
            others: other data that the classifier must take, by name.
        """
        spec = fit_data.input_spec(training)
        num_classes, *_ = (
            classifiers.check_inputs(one, spec, "the training data") for one in self.networks
        )
        for name, data in others.items():
            if data is not None:
                classifiers.check_inputs(self.classifier, fit_data.input_spec(data), name)
        for name, data in {"the training data": training, **others}.items():
            data_checks.check_finite(data, self.classifier, name=name)
        if not classifiers.answers_are_known(self.classifier):
            answers = self.classifier(fit_data.first_examples(training), training=False)
            classifiers.check_answers(answers.numpy(), self.classifier.name)
        if not self.classifier.trainable_variables:
            raise ValueError("The classifier has no trainable weights: every layer is frozen.")
        self.built = True
        self.build_optimizers()
        return num_classes


def _of_any_labels(metric: Any) -> Any:
    """A metric as `compile` takes it, the accuracy by its name as one for labels of any form."""
    is_accuracy = isinstance(metric, str) and metric.lower() in ("accuracy", "acc")
    return Accuracy(metric) if is_accuracy else metric


def _check_loss(loss: Any) -> None:
    if loss is None:
        return
    cross_entropies = (
        keras.losses.SparseCategoricalCrossentropy,
        keras.losses.CategoricalCrossentropy,
    )
    config = loss.get_config() if isinstance(loss, cross_entropies) else {}
    plain = {
        "from_logits": True,
        "label_smoothing": 0.0,
        "reduction": "sum_over_batch_size",
        "ignore_class": None,
        "axis": -1,
    }
    if not config or any(config.get(name, value) != value for name, value in plain.items()):
        raise ValueError(
            "The loss is the cross-entropy on logits and can be left out; allowed beside that: "
            "Sparse- or CategoricalCrossentropy(from_logits=True) without any other argument. "
            f"Received: loss={loss!r}"
        )

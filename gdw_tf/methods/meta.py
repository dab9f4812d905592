"""`MetaMethod`: the engine of every method that learns from a meta set in each training step.

The outer parameters phi say how the logit gradient u(phi) of a step is made: class-level weights
(GDW), a weight per example (MW-Net), an epsilon per example (L2RW), soft labels, ... One step on
a training batch and a meta batch is, whatever phi is,

    1. forward pass on the training batch                              logits z
    2. phi  = outer_parameters(z), from an outer model V_Theta or a constant
    3. theta' = theta - alpha J(z)^T u(phi) / B                        virtual step
    4. L    = loss of the classifier with theta' on the meta batch (`gdw_tf.meta_losses`)
    5. g    = dL / d phi, and dL / d Theta through step 2              meta gradient
    6. Theta <- outer optimizer(Theta, dL / d Theta)
    7. phi' = updated_outer_parameters(phi, g)
    8. theta <- optimizer(theta, J(z)^T u(phi') / B)                   actual step

so a method is three short functions: phi, u(phi), phi'. (`gdw_tf.methods.weighting` adds the weight
net, which MW-Net and GDW share.)

Two choices make the meta gradient cheaper, for any method:

- `meta_every=k`: steps 3 to 7 in every k-th step only. In between, the outer model is used as it
  stands, phi' = carried_outer_parameters(phi).
- `virtual_scope`: only some of the classifier's weights move in the virtual step, such as those of
  its head; steps 3 to 5 then stop at the first of them. The meta gradient is exact for that step.

A meta method judges by the meta set and does not train on it. With a `meta_weight` w > 0 it does:

    8. theta <- optimizer(theta, J(z)^T u(phi') / B + w dL / d theta')

Step 5 passes through dL / d theta' on its way to g, so the second term costs nothing. (With a
`virtual_scope` step 5 has to go on through the layers that do not move.) In a step without a meta
gradient there is no such term. It is the library's, none of the papers'; w = 0 is theirs.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import keras
import tensorflow as tf

from gdw_tf import finite, loss_scale, replicas
from gdw_tf.batch import Batch, accuracy, mean_over_batch
from gdw_tf.checks import check_integer, check_number
from gdw_tf.class_gradients import ClassGradients, class_gradients
from gdw_tf.lookahead import ForwardPass, dense, virtual_logits, virtual_weights
from gdw_tf.meta_losses import META_LOSSES, check_meta_loss
from gdw_tf.methods.base import META_LOGS, Method
from gdw_tf.optimizers import CoupledAdam, clipped_as_one
from gdw_tf.virtual_scope import check_scope, variables_in_scope


class MetaStep(NamedTuple):
    """What steps 2 to 7 give.

    Attributes:
        outer: phi, (B, ...).
        meta_gradient: g, of the same shape; zero in a step without.
        updated_outer: phi', of the same shape.
        meta_loss: L, a scalar; zero in a step without.
        meta_accuracy: accuracy of the virtual model on the meta batch, a scalar; zero without.
        is_measured: one; zero in a step without, or with one that is not finite in float16.
        weight_gradients: dL / d theta', a tensor for each of the classifier's trainable variables,
            zero in a step without; empty where nothing is trained by them.
        non_finite: which of the meta step's quantities are not finite, ones and zeros; see
            `MetaMethod.quantities`, all but the first and the last two.
    """

    outer: tf.Tensor
    meta_gradient: tf.Tensor
    updated_outer: tf.Tensor
    meta_loss: tf.Tensor
    meta_accuracy: tf.Tensor
    is_measured: tf.Tensor
    weight_gradients: list[tf.Tensor]
    non_finite: tf.Tensor


class MetaMethod(Method):
    """Base class of the meta methods: the engine, which knows nothing of what is learned.

    Args:
        classifier: any Keras model that answers logits, (B, C).
        virtual_lr: alpha of the virtual step; by default the optimizer's current rate. To be
            given with an optimizer whose rate is not that of a gradient-descent step (Adam).
        virtual_scope: the weights that move in the virtual step: `"all"` (default), `"last_stage"`,
            `"head"`, or a regular expression, see `gdw_tf.virtual_scope.variables_in_scope`.
        meta_every: k: a meta gradient in every k-th step; default 1.
        meta_loss: L, by its name in `gdw_tf.meta_losses`: `"cross_entropy"` (default), or `"mae"`
            for a meta set with wrong labels in it.
        meta_weight: w, the factor by which the gradient of L trains the classifier beside the
            method's own; default 0, where the meta set is only judged by, as in the papers.
        **kwargs: `seed`, `name`, `dtype` of `Method`.

    Attributes:
        skipped_meta_steps: the number of steps whose meta gradient was not finite and taught
            nothing, a scalar variable; `None` where gradients are not scaled (`gdw_tf.loss_scale`).

    Raises:
        TypeError: `classifier` is not a Keras model; an option is of another type.
        ValueError: `classifier` ends in softmax; an option is out of its range.
    """

    option_names = ("virtual_lr", "virtual_scope", "meta_every", "meta_loss", "meta_weight")
    of_loss_scale = ("meta_loss_scale", "finite_meta_steps", "skipped_meta_steps")
    late_variables = (*Method.late_variables, *of_loss_scale)
    kept_by_undone_steps = (*Method.kept_by_undone_steps, *of_loss_scale)
    quantities = (
        "loss",
        "virtual gradient",
        "meta loss",
        "meta gradient",
        "weights of the outer model",
        "gradient",
        "weights",
    )
    reported = META_LOGS
    needs_meta_set = True
    has_class_weights = True

    def __init__(
        self,
        classifier: keras.Model,
        *,
        virtual_lr: float | None = None,
        virtual_scope: str = "all",
        meta_every: int = 1,
        meta_loss: str = "cross_entropy",
        meta_weight: float = 0.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(classifier, **kwargs)
        if virtual_lr is not None:
            check_number("virtual_lr", virtual_lr, 0.0, exclusive=True)
        self.virtual_lr = virtual_lr
        self.virtual_scope = check_scope(virtual_scope)
        if classifier.built:  # of others it is found out with the first batch
            variables_in_scope(classifier, virtual_scope)
        self.meta_every = check_integer("meta_every", meta_every, 1)
        self.meta_loss = check_meta_loss(meta_loss)
        check_number("meta_weight", meta_weight, 0.0)
        self.meta_weight = meta_weight
        self.meta_loss_scale: keras.Variable | None = None
        self.finite_meta_steps: keras.Variable | None = None
        self.skipped_meta_steps: keras.Variable | None = None

    # What a method says.

    @property
    def optimizers(self) -> list[keras.optimizers.Optimizer]:
        """With that of the outer model."""
        return [*super().optimizers, self.weight_optimizer]

    @property
    def outer_variables(self) -> list[keras.Variable]:
        """Variables Theta of the outer model, trained by the weight optimizer; none by default."""
        return []

    def outer_parameters(self, batch: Batch, gradients: ClassGradients) -> tf.Tensor:
        """Makes phi of the batch, (B, ...), from it and its class-level gradients."""
        raise NotImplementedError(f"{type(self).__name__} must define outer_parameters.")

    def logit_gradient(self, gradients: ClassGradients, outer: tf.Tensor) -> tf.Tensor:
        """Makes u(phi), (B, C)."""
        raise NotImplementedError(f"{type(self).__name__} must define logit_gradient.")

    def updated_outer_parameters(
        self, batch: Batch, gradients: ClassGradients, outer: tf.Tensor, meta_gradient: tf.Tensor
    ) -> tf.Tensor:
        """Makes phi' from phi and g, both of one shape; Theta has taken its step."""
        raise NotImplementedError(f"{type(self).__name__} must define updated_outer_parameters.")

    def carried_outer_parameters(
        self, batch: Batch, gradients: ClassGradients, outer: tf.Tensor
    ) -> tf.Tensor:
        """Makes phi' in a step without a meta gradient; by default phi."""
        return outer

    def step_report(
        self, gradients: ClassGradients, outer: tf.Tensor, updated: tf.Tensor
    ) -> dict[str, tf.Tensor]:
        """What a method reports of phi and phi' beside the meta loss; see `reported`."""
        return {}

    # The engine.

    @property
    def one_replica_because(self) -> str:
        """`meta_every` above 1."""
        return f"meta_every={self.meta_every}" if self.meta_every > 1 else ""

    def training_gradient(
        self, forward: ForwardPass, batch: Batch, meta_batch: Batch | None
    ) -> dict[str, tf.Tensor]:
        """Finds u(phi') through the virtual step."""
        gradients = class_gradients(forward.logits, batch.labels, self.base_loss)
        virtual_lr = self.current_virtual_lr()
        if self.meta_every == 1:
            step = self._meta_step(forward, batch, meta_batch, gradients, virtual_lr)
        else:
            step = tf.cond(
                self.steps_taken.value % self.meta_every == 0,
                lambda: self._meta_step(forward, batch, meta_batch, gradients, virtual_lr),
                lambda: self._step_without_meta(batch, gradients),
            )
        quantities = step._asdict()
        weight_gradients = quantities.pop("weight_gradients")
        if self.meta_weight:
            quantities["meta_weight_gradients"] = weight_gradients
        return {
            "example_loss": gradients.loss,
            "virtual_lr": virtual_lr,
            "logit_gradient": self.logit_gradient(gradients, step.updated_outer),
            **quantities,
            **self.step_report(gradients, step.outer, step.updated_outer),
        }

    def _meta_step(
        self,
        forward: ForwardPass,
        batch: Batch,
        meta_batch: Batch,
        gradients: ClassGradients,
        virtual_lr: tf.Tensor,
    ) -> MetaStep:
        """Takes steps 2 to 7."""
        outer_variables = self.outer_variables
        outer_values = [variable.value for variable in outer_variables]
        moving = variables_in_scope(self.classifier, self.virtual_scope)
        scale = None if self.meta_loss_scale is None else self.meta_loss_scale.value
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(outer_values)
            outer = self.outer_parameters(batch, gradients)
            tape.watch(outer)
            virtual_gradient = batch.share * mean_over_batch(
                self.logit_gradient(gradients, outer), batch.sample_weight
            )
            virtual_step = replicas.total(
                forward.gradients(virtual_gradient, variables=moving, scale=scale)
            )
            weights = virtual_weights(moving, virtual_step, virtual_lr)
            if self.meta_weight:
                moving, weights = self._with_resting_weights(moving, weights, tape)
            meta_logits = virtual_logits(self.classifier, moving, weights, meta_batch.inputs)
            meta_loss = META_LOSSES[self.meta_loss](
                meta_logits, meta_batch.labels, meta_batch.sample_weight
            )
            differentiated = meta_batch.share * meta_loss
            if scale is not None:
                differentiated *= scale
        meta_gradient, outer_gradients, weight_gradients = tape.gradient(
            differentiated,
            [outer, outer_values, weights if self.meta_weight else []],
            unconnected_gradients=tf.UnconnectedGradients.ZERO,
        )
        weight_gradients = dense(weight_gradients)
        is_measured = tf.ones_like(meta_loss)
        lost = [
            loss_scale.lost_for_good(tensors, scale)
            for tensors in (
                virtual_step,
                [meta_loss],
                [meta_gradient, *outer_gradients, *weight_gradients],
            )
        ]
        if scale is None:
            if outer_variables:
                self.weight_optimizer.apply(
                    clipped_as_one(self.weight_optimizer, outer_gradients), outer_variables
                )
        else:
            (meta_gradient, *weight_gradients), is_finite = self._learn_if_finite(
                [meta_gradient, *weight_gradients], outer_gradients, scale
            )
            is_measured = tf.cast(is_finite, meta_loss.dtype)
            meta_loss = tf.where(is_finite, meta_loss, 0.0)
        return MetaStep(
            outer=outer,
            meta_gradient=meta_gradient,
            updated_outer=self.updated_outer_parameters(batch, gradients, outer, meta_gradient),
            meta_loss=meta_loss,
            meta_accuracy=accuracy(meta_logits, meta_batch.labels),
            is_measured=is_measured,
            weight_gradients=weight_gradients,
            non_finite=tf.stack([*lost, finite.is_lost(outer_variables)]),
        )

    def _with_resting_weights(
        self, moving: list[keras.Variable], weights: list[tf.Tensor], tape: tf.GradientTape
    ) -> tuple[list[keras.Variable], list[tf.Tensor]]:
        """Adds to the weights that move in the virtual step those that do not, in their order."""
        moved = {id(variable): weight for variable, weight in zip(moving, weights, strict=True)}
        variables = self.classifier.trainable_variables
        # Copies: the pull-back depends on the variables, too, and is not to be differentiated by
        # them.
        resting = {id(v): tf.identity(v.value) for v in variables if id(v) not in moved}
        tape.watch(list(resting.values()))
        return variables, [(moved | resting)[id(variable)] for variable in variables]

    def _learn_if_finite(
        self,
        scaled_gradients: list[tf.Tensor],
        scaled_outer_gradients: list[tf.Tensor],
        scale: tf.Tensor,
    ) -> tuple[list[tf.Tensor], tf.Tensor]:
        """Takes step 6 by the scaled gradients of Theta, or none, and fits the scale to them.

        Returns:
            The other gradients without the scale, zero where one of all is not finite; whether
            all are finite.
        """
        is_finite = finite.all_finite([*scaled_gradients, *scaled_outer_gradients])
        gradients, outer_gradients = (
            [tf.where(is_finite, one / scale, tf.zeros_like(one)) for one in group]
            for group in (scaled_gradients, scaled_outer_gradients)
        )
        if outer_gradients:
            outer_gradients = clipped_as_one(self.weight_optimizer, outer_gradients)
            loss_scale.apply_if(
                is_finite, self.weight_optimizer, outer_gradients, self.outer_variables
            )
        scale, finite_steps = loss_scale.moved(
            self.meta_loss_scale.value, self.finite_meta_steps.value, is_finite
        )
        self.meta_loss_scale.assign(scale)
        self.finite_meta_steps.assign(finite_steps)
        self.skipped_meta_steps.assign_add(1.0 - tf.cast(is_finite, scale.dtype))
        return gradients, is_finite

    def _step_without_meta(self, batch: Batch, gradients: ClassGradients) -> MetaStep:
        """Takes the step with the outer model as it stands."""
        outer = self.outer_parameters(batch, gradients)
        nothing = tf.zeros((), outer.dtype)
        return MetaStep(
            outer=outer,
            meta_gradient=tf.zeros_like(outer),
            updated_outer=self.carried_outer_parameters(batch, gradients, outer),
            meta_loss=nothing,
            meta_accuracy=nothing,
            is_measured=nothing,
            weight_gradients=[
                tf.zeros_like(variable.value)
                for variable in (self.classifier.trainable_variables if self.meta_weight else [])
            ],
            non_finite=tf.zeros(len(MetaMethod.quantities) - len(Method.quantities)),
        )

    def weight_gradients(
        self, forward: ForwardPass, batch: Batch, meta_batch: Batch, step: dict[str, Any]
    ) -> tuple[list[tf.Tensor], list[keras.Variable]]:
        """Adds the gradient of the meta loss, where the classifier is trained by it, too."""
        gradients, variables = super().weight_gradients(forward, batch, meta_batch, step)
        if not self.meta_weight:
            return gradients, variables
        factor = self.optimizer.scale_loss(tf.constant(self.meta_weight, tf.float32))
        return [
            gradient + tf.cast(factor, gradient.dtype) * tf.cast(of_meta, gradient.dtype)
            for gradient, of_meta in zip(gradients, step["meta_weight_gradients"], strict=True)
        ], variables

    def current_virtual_lr(self) -> tf.Tensor:
        """The rate alpha of the virtual step, a scalar."""
        if self.virtual_lr is None:
            return tf.convert_to_tensor(self.optimizer.learning_rate)
        return tf.constant(self.virtual_lr, keras.config.floatx())

    # Keras's life cycle.

    def compile(
        self,
        optimizer: Any = None,
        loss: Any = None,
        *,
        weight_optimizer: Any = None,
        **kwargs: Any,
    ) -> None:
        """Configures training; see `Method.compile`.

        Args:
            optimizer: of the classifier; default `CoupledSGD()`.
            loss: left out.
            weight_optimizer: of the outer model, an optimizer or its name; default
                `CoupledAdam()`, the paper's (rate 1e-3, decay 1e-4).
            **kwargs: as in `Method.compile`.

        Raises:
            ValueError: as in `Method.compile`; an optimizer other than SGD without `virtual_lr`;
                a `weight_optimizer` that scales its loss, or is the classifier's.
        """
        super().compile(optimizer, loss, **kwargs)
        inner = getattr(self.optimizer, "inner_optimizer", self.optimizer)
        if self.virtual_lr is None and not isinstance(inner, keras.optimizers.SGD):
            raise ValueError(
                f"virtual_lr must be given with {type(inner).__name__}: its learning rate is not "
                "that of a gradient-descent step. Received: virtual_lr=None"
            )
        weight_optimizer = keras.optimizers.get(weight_optimizer or CoupledAdam())
        if weight_optimizer is optimizer:
            raise ValueError(
                "weight_optimizer must be an optimizer of its own. Received: the classifier's "
                f"{type(optimizer).__name__}"
            )
        if (
            isinstance(weight_optimizer, keras.optimizers.LossScaleOptimizer)
            or weight_optimizer.loss_scale_factor is not None
        ):
            raise ValueError(
                "weight_optimizer must not scale its loss: the meta gradient has a scale of its "
                f"own where it needs one. Received: {type(weight_optimizer).__name__} with "
                f"loss_scale_factor={weight_optimizer.loss_scale_factor}; allowed: None."
            )
        self.weight_optimizer = weight_optimizer

    def _state(self) -> list[keras.Variable]:
        """With the weight optimizer's."""
        return [*super()._state(), *self.weight_optimizer.variables]

    def get_compile_config(self) -> dict[str, Any]:
        """Keras's, with the weight net's optimizer."""
        config = super().get_compile_config()
        if not self.compiled:
            return config
        weight_optimizer = keras.saving.serialize_keras_object(self.weight_optimizer)
        return {**config, "weight_optimizer": weight_optimizer}

    def build_optimizers(self) -> None:
        """Creates the variables of both optimizers, and the scale of the meta loss in float16."""
        super().build_optimizers()
        self.weight_optimizer.build(self.outer_variables)
        if isinstance(self.optimizer, keras.optimizers.LossScaleOptimizer):
            self.make_late_variable("meta_loss_scale", (), loss_scale.INITIAL_SCALE)
            self.make_late_variable("finite_meta_steps", ())
            self.make_late_variable("skipped_meta_steps", ())

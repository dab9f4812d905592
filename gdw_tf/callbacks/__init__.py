"""Keras callbacks of this library; all else that a run needs Keras brings itself."""

from gdw_tf.callbacks.checkpoints import Checkpoints, RestoreMetrics, metric_values
from gdw_tf.callbacks.logs import EpochLog, MetaEvaluation, StepTimer
from gdw_tf.callbacks.non_finite import (
    CountSkippedSteps,
    NonFiniteWatch,
    RollBack,
    StopOnNonFinite,
)
from gdw_tf.callbacks.progress import ReportProgress
from gdw_tf.callbacks.tensorboard import TensorBoard
from gdw_tf.callbacks.weight_curve import WeightCurve

__all__ = [
    "Checkpoints",
    "CountSkippedSteps",
    "EpochLog",
    "MetaEvaluation",
    "NonFiniteWatch",
    "ReportProgress",
    "RestoreMetrics",
    "RollBack",
    "StepTimer",
    "StopOnNonFinite",
    "TensorBoard",
    "WeightCurve",
    "metric_values",
]

"""Train a good Keras classifier on bad labels: GDW and its relatives for TensorFlow."""

from __future__ import annotations

from gdw_tf.batch_normalization import BatchNormalization
from gdw_tf.methods import (
    CE,
    ELR,
    GDW,
    GLC,
    INSW,
    L2RW,
    METHODS,
    MLC,
    CleanOnly,
    CoTeaching,
    FineTune,
    ForwardCorrection,
    GenLabel,
    Method,
    MWNet,
    SoftLabel,
)
from gdw_tf.metrics import Accuracy
from gdw_tf.optimizers import CoupledAdam, CoupledSGD

__version__ = "0.1.0"

__all__ = [
    "CE",
    "ELR",
    "GDW",
    "GLC",
    "INSW",
    "L2RW",
    "METHODS",
    "MLC",
    "Accuracy",
    "BatchNormalization",
    "CleanOnly",
    "CoTeaching",
    "FineTune",
    "ForwardCorrection",
    "GenLabel",
    "Method",
    "MWNet",
    "SoftLabel",
    "CoupledAdam",
    "CoupledSGD",
]

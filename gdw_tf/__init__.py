"""Train a good Keras classifier on bad labels: GDW and its relatives for TensorFlow."""

from __future__ import annotations

from gdw_tf.methods import (
    CE,
    ELR,
    GDW,
    GLC,
    METHODS,
    CleanOnly,
    CoTeaching,
    FineTune,
    ForwardCorrection,
    Method,
    MWNet,
)
from gdw_tf.optimizers import CoupledAdam, CoupledSGD

__version__ = "0.1.0"

__all__ = [
    "CE",
    "ELR",
    "GDW",
    "GLC",
    "METHODS",
    "CleanOnly",
    "CoTeaching",
    "CoupledAdam",
    "CoupledSGD",
    "FineTune",
    "ForwardCorrection",
    "MWNet",
    "Method",
]

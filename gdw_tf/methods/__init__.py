"""The training methods by name; one file a method.

Plain training with another loss than the cross-entropy goes by the loss's name.
"""

from __future__ import annotations

from gdw_tf import losses
from gdw_tf.methods.base import Method
from gdw_tf.methods.ce import CE
from gdw_tf.methods.clean_only import CleanOnly
from gdw_tf.methods.co_teaching import CoTeaching
from gdw_tf.methods.elr import ELR
from gdw_tf.methods.fine_tune import FineTune
from gdw_tf.methods.forward import ForwardCorrection
from gdw_tf.methods.gdw import GDW
from gdw_tf.methods.gen_label import GenLabel
from gdw_tf.methods.glc import GLC
from gdw_tf.methods.insw import INSW
from gdw_tf.methods.l2rw import L2RW
from gdw_tf.methods.mlc import MLC
from gdw_tf.methods.mw_net import MWNet
from gdw_tf.methods.soft_label import SoftLabel

METHODS: dict[str, type[Method]] = {
    "gdw": GDW,
    "mw_net": MWNet,
    "l2rw": L2RW,
    "insw": INSW,
    "soft_label": SoftLabel,
    "gen_label": GenLabel,
    "mlc": MLC,
    "ce": CE,
    "elr": ELR,
    "clean_only": CleanOnly,
    "fine_tune": FineTune,
    "co_teaching": CoTeaching,
    "glc": GLC,
    "forward": ForwardCorrection,
}
LOSS_METHODS = tuple(name for name in losses.names() if name != "cross_entropy")


def names() -> tuple[str, ...]:
    """The names that `--method` knows."""
    return (*METHODS, *LOSS_METHODS)


def by_name(name: str) -> type[Method]:
    """The class of a method; for the name of a loss `CE`, to be given that loss."""
    return CE if name in LOSS_METHODS else METHODS[name]


def takes_base_loss(name: str) -> bool:
    """Whether a method leaves its base loss open."""
    return name in METHODS and "base_loss" in METHODS[name].option_names

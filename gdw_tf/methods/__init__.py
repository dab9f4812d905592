"""The training methods by name; one file a method."""

from __future__ import annotations

from gdw_tf.methods.base import Method
from gdw_tf.methods.ce import CE
from gdw_tf.methods.gdw import GDW
from gdw_tf.methods.gen_label import GenLabel
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
}

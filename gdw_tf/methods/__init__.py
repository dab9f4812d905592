"""The training methods by name; one file a method."""

from __future__ import annotations

from gdw_tf.methods.base import Method
from gdw_tf.methods.ce import CE
from gdw_tf.methods.gdw import GDW
from gdw_tf.methods.mw_net import MWNet

METHODS: dict[str, type[Method]] = {"gdw": GDW, "mw_net": MWNet, "ce": CE}

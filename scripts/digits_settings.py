"""What the methods are compared under on scikit-learn's digits, as flags of `gdw_tf.train`."""

from __future__ import annotations

DIGITS: dict[str, tuple[str, ...]] = {
    "uniform 40 %": ("noise=uniform", "noise_rate=0.4"),
    "uniform 60 %": ("noise=uniform", "noise_rate=0.6"),
    "uniform 80 %": ("noise=uniform", "noise_rate=0.8"),
    "flip 40 %": ("noise=flip", "noise_rate=0.4"),
    "long tail 0.05, uniform 20 %": (
        "noise=uniform",
        "noise_rate=0.2",
        "imbalance_factor=0.05",
    ),
}

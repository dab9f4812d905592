"""The training set of a finished run, and its audit."""

from __future__ import annotations

from gdw_tf import data, run_loading
from gdw_tf.audit import Audit, rank
from gdw_tf.comparison import Run


def audited(run: Run, *, with_meta_gradients: bool = False) -> tuple[data.NoisyData, Audit]:
    """Audits a complete run.

    Args:
        run: of `gdw_tf.train`.
        with_meta_gradients: whether the audit has those, which take a pass over the data.
    """
    noisy = run_loading.data_of(run.workdir, run.settings)
    model = run.workdir.checkpoints.latest().load()
    meta = (noisy.x_meta, noisy.y_meta) if with_meta_gradients else None
    return noisy, rank(model, (noisy.x_train, noisy.y_train), meta_data=meta)

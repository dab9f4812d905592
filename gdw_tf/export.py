"""Exports the classifier of a run as a SavedModel, which runs with TensorFlow alone.

Usage: python -m gdw_tf.export WORKDIR [--checkpoint=best] [--out=DIR]

Raw uint8 images in, `logits` and `probabilities` out; by default DIR is WORKDIR/export.
"""

from __future__ import annotations

from pathlib import Path

from gdw_tf import cli, run_loading
from gdw_tf.checks import check_directory


def main(argv: list[str]) -> None:
    """Writes the SavedModel."""
    with cli.user_errors():
        workdir, _ = run_loading.open_run(argv)
        out = cli.OUT.value or str(workdir.export)
        check_directory("out", Path(out))
        model = run_loading.load_checkpoint(workdir)
    model.export(out, verbose=False)
    print(f"exported the {run_loading.CHECKPOINT.value} checkpoint to {out}")


if __name__ == "__main__":
    cli.run(main, doc=__doc__, groups={"Options": [cli.OUT, *run_loading.FLAGS_OF_A_RUN]})

"""Exports the classifier of a run as a SavedModel, which runs with TensorFlow alone.

Usage: python -m gdw_tf.export WORKDIR [--checkpoint=best] [--out=DIR]

Raw uint8 images in, `logits` and `probabilities` out; by default DIR is WORKDIR/export.
"""

from __future__ import annotations

from pathlib import Path

from gdw_tf import cli, files, run_loading
from gdw_tf.checks import check_directory


def main(argv: list[str]) -> None:
    """Writes the SavedModel."""
    with cli.user_errors():
        workdir, _ = run_loading.open_run(argv)
        out = Path(cli.OUT.value or workdir.export)
        check_directory("out", out)
        model = run_loading.load_checkpoint(workdir)
    if out.exists() and out != workdir.export:  # it may hold what is not ours to remove
        model.export(str(out), verbose=False)
    else:
        with files.written_aside(out) as aside:
            model.export(str(aside), verbose=False)
    print(f"exported the {run_loading.CHECKPOINT.value} checkpoint to {out}")


def run() -> None:
    """Runs the program, as the console script `gdw-export` does."""
    cli.run(main, doc=__doc__, groups={"Options": [cli.OUT, *run_loading.FLAGS_OF_A_RUN]})


if __name__ == "__main__":
    run()

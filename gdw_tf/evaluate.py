"""Evaluates a checkpoint of a run on its test set and prints the result as JSON.

Usage: python -m gdw_tf.evaluate WORKDIR [--checkpoint=best]
"""

from __future__ import annotations

import json

from gdw_tf import cli, data, experiment, run_loading, train_flags


def main(argv: list[str]) -> None:
    """Prints loss and accuracy on the test set."""
    with cli.user_errors():
        workdir, settings = run_loading.open_run(argv)
        model = run_loading.load_checkpoint(workdir)
        source = experiment.load_source(settings, **train_flags.locations())
        run_loading.check_class_names(workdir, source.class_names)
        source = data.without(source, workdir.read_unreadable() or ())
    with run_loading.image_failures(source):
        results = model.evaluate(
            data.evaluation_batches(source.x_test, source.y_test), return_dict=True, verbose=0
        )
    checkpoint = run_loading.CHECKPOINT.value
    print(json.dumps({"checkpoint": checkpoint, "examples": len(source.y_test), **results}))


def run() -> None:
    """Runs the program, as the console script `gdw-evaluate` does."""
    cli.run(main, doc=__doc__, groups={"Options": run_loading.FLAGS_OF_A_RUN})


if __name__ == "__main__":
    run()

"""Keeps what complete runs came to, without what they are gone on with.

Usage: python scripts/keep_runs.py --workdir=runs/reproduce --out=docs/results

Settings, metrics, the weight net's curve, the summary and the digests of the data, some
kilobytes a run, are copied to where the runs stand below --workdir. `scripts/reproduce.py` and
`gdw_tf.compare` take the copies for the runs, and `gdw_tf.report` draws their curves. Checkpoints
are left out, and so are the flags that say where a machine has its data and how it trains.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from gdw_tf import cli, files, train_flags
from gdw_tf.flag_files import settings_of_lines
from gdw_tf.workdir import Workdir


def main(argv: list[str]) -> None:
    """Copies, over earlier copies."""
    with cli.user_errors():
        cli.check_all_flags(argv)
        if not train_flags.WORKDIR.value or not cli.OUT.value:
            raise ValueError(
                "Name both directories. Received: "
                f"workdir={train_flags.WORKDIR.value}, out={cli.OUT.value}"
            )
        root, out = Path(train_flags.WORKDIR.value), Path(cli.OUT.value)
        if out.resolve().is_relative_to(root.resolve()):
            raise ValueError(
                f"out must not lie in workdir. Received: out={out}, workdir={root}; allowed: "
                "another directory."
            )
        complete = [
            Workdir(path.parent)
            for path in sorted(root.rglob("summary.json"))
            if path.parent.suffix != files.ASIDE
        ]
        if not complete:
            raise ValueError(f"There is no complete run below this directory. Received: {root}")
    for run in complete:
        kept = Workdir(out / run.root.relative_to(root))
        kept.root.mkdir(parents=True, exist_ok=True)
        lines = settings_of_lines(run.flags.read_text().splitlines())
        files.write_text(kept.flags, "\n".join([*lines, ""]))
        digests = (run.training_set, run.evaluation_sets)
        for path in (run.metrics, run.weight_curve, run.summary, *digests):
            if path.exists():
                shutil.copyfile(path, kept.root / path.name)
    print(f"{len(complete)} runs kept in {out}")


if __name__ == "__main__":
    cli.run(main, doc=__doc__, groups={"Runs": [train_flags.WORKDIR, cli.OUT]})

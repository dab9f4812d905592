"""Writes a page about runs: curves, learned weights, confusion matrices, costs, flags.

Usage: python -m gdw_tf.report WORKDIR [WORKDIR ...] [--out=report.html] [--png=DIR]

A WORKDIR is that of a run, finished or not, or one that holds several, as gdw_tf.compare writes it.
Runs that differ in the seed only are one row and one line. The page is one file that needs no
network; --png also draws its figures into DIR, by matplotlib (pip install "gdw_tf[report]").
"""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

from gdw_tf import cli, files, run_loading, train_flags
from gdw_tf.checks import check_directory
from gdw_tf.data.figures import check_matplotlib
from gdw_tf.report import charts, png
from gdw_tf.report.groups import group
from gdw_tf.report.page import page
from gdw_tf.report.runs import Reader

PNG = cli.define_path("png", None, "Directory to draw the figures into as PNG; default none.")


def main(argv: list[str]) -> None:
    """Reads the runs and writes the page."""
    with cli.user_errors():
        out = Path(cli.OUT.value or "report.html")
        workdirs = _read_arguments(argv[1:], out)
        reader = Reader()
        groups = group([reader.read(workdir) for workdir in workdirs])
    figures = charts.all_figures(groups)
    command = f"python -m gdw_tf.report {shlex.join(sys.argv[1:])}"
    with cli.user_errors():
        out.parent.mkdir(parents=True, exist_ok=True)
        files.write_text(out, page(groups, figures, command))
        written = [str(out)]
        if PNG.value:
            written += [str(path) for path in png.write(figures, Path(PNG.value))]
    print(f"{len(workdirs)} runs in {len(groups)} groups, written to {', '.join(written)}")


def _read_arguments(names: list[str], out: Path) -> list[run_loading.Workdir]:
    """The runs that are named, each once.

    Raises:
        ValueError: there are none, or what is to be written cannot be.
    """
    if not names:
        raise ValueError("Name one or more workdirs. Received: none; allowed: directories of runs.")
    run_loading.check_flags_of_run()
    if out.is_dir():
        raise ValueError(f"out must be a file. Received: out={out}, a directory")
    check_directory("out", out.parent)
    if PNG.value is not None:
        check_matplotlib()
        check_directory("png", Path(PNG.value))
    found = [workdir for name in names for workdir in run_loading.find_runs(Path(name))]
    for workdir in found:
        run_loading.check_not_of_run(out, workdir)
    return list({workdir.root.resolve(): workdir for workdir in found}.values())


def run() -> None:
    """Runs the program, as the console script `gdw-report` does."""
    groups = {"Output": [cli.OUT, PNG], "Where the data are": train_flags.LOCATIONS}
    cli.run(main, doc=__doc__, groups=groups)


if __name__ == "__main__":
    run()

"""Tries bad inputs and writes what each gets as a table: the section "Bad input" of a document.

Usage: python scripts/bad_inputs.py [--document=docs/reliability.md]

The inputs are those of tests/programs/bad_inputs.py, where the same are tried as tests.
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

from absl import flags

from gdw_tf import cli

DOCUMENT = flags.DEFINE_string("document", "docs/reliability.md", "Document to write in.")
ROOT = Path(__file__).parents[1]
HEADING = "## Bad input"
INTRODUCTION = """
A user's mistake ends a program with exit code 2 and one line on stderr, and a call from Python with
a `ValueError` or a `TypeError` of one line, which says what was received and what is allowed. That
comes before anything is written and before any long work: a run that is there stays as it is, to
the byte. All that is wrong with the settings of a training is told at once.

Nothing that is read is unpickled or run: models are loaded in Keras's safe mode, arrays with
`allow_pickle=False`. Paths of images may not lead out of the folder of the data. An image of more
than 50 million pixels, by its header, or of more than 512 MiB, is unreadable; an archive whose
arrays would take half of the memory is refused. Text that stands in reports is one line without
control characters.

Inputs that are not finite are refused where the classifier's answer to them is not finite either.
Labels in a `tf.data.Dataset` are looked at as their batches are drawn. `fit` warns where arrays of
a meta set hold training examples, to the bit, and the programs refuse a clean set that does
(`--allow_leak`). How many numbers make up a pixel's range is not checked: give all images on the
scale that the classifier takes, such as 0 to 255 where it has a `Rescaling` layer.

The tables are written by `python scripts/bad_inputs.py`, and the same inputs are tests. `RUN` is
the directory of a run, `NEW` one that is not there, `DIR` one of files that are wrong. A training
has `--workdir=RUN`, or `NEW` where it reads data.
"""


def main(argv: list[str]) -> None:
    """Writes the section in the place of the one that is there, or at the end."""
    with cli.user_errors():
        cli.check_all_flags(argv)
        path = Path(DOCUMENT.value)
        text = path.read_text() if path.exists() else "# Reliability\n"
    before, _, rest = text.partition(f"{HEADING}\n")
    _, separator, after = rest.partition("\n## ")
    written = f"{before.rstrip()}\n\n{HEADING}\n{section()}{separator}{after}"
    path.write_text(written)
    print(f"written to {path}")


def section() -> str:
    """The section, below its heading."""
    sys.path.insert(0, str(ROOT / "tests"))
    from programs.bad_inputs import CALLS, PROGRAMS, Places, arguments_of, error_of_call, names
    from programs.conftest import run

    lines = [
        INTRODUCTION,
        f"{len(PROGRAMS)} command lines, each after `python -m gdw_tf.`; exit code 2 every time:",
        "",
        "| input | message |",
        "| --- | --- |",
    ]
    with tempfile.TemporaryDirectory() as directory:
        places = Places.below(Path(directory))
        for text, _ in PROGRAMS:
            finished = run(*arguments_of(text, places))
            if finished.code != 2:
                raise RuntimeError(f"{text}: exit code {finished.code}")
            error = next(one for one in finished.err.splitlines() if one.startswith("error: "))
            message = places.taken_out(error.removeprefix("error: ")).replace(os.getcwd(), ".")
            lines.append(f"| {cell(text)} | {cell(message)} |")
    lines += [
        "",
        f"{len(CALLS)} calls from Python; `x` (32, 8), `y` of 3 classes, `x_meta` and `y_meta` are",
        "arrays, and `fit` trains GDW on them but for what it is given:",
        "",
        "| input | error | message |",
        "| --- | --- | --- |",
    ]
    of_calls = names()
    for text, _ in CALLS:
        error = error_of_call(text, of_calls)
        if not isinstance(error, ValueError | TypeError):
            raise RuntimeError(f"{text}: {error!r}")
        lines.append(f"| {cell(text)} | {_public_name(error)} | {cell(str(error))} |")
    return "\n".join(lines) + "\n"


def cell(text: str) -> str:
    """Text as code in a cell of a table; what is long loses its end."""
    text = text.replace("\n", r"\n").replace("|", r"\|")
    text = text if len(text) <= 240 else f"{text[:237]}..."
    fence = "``" if "`" in text else "`"
    return f"{fence} {text} {fence}" if "`" in text else f"{fence}{text}{fence}"


def _public_name(error: Exception) -> str:
    """What users catch: the first class of an error that is not private to its module."""
    names = [kind.__name__ for kind in type(error).__mro__]
    return next(name for name in names if not name.startswith("_"))


if __name__ == "__main__":
    cli.run(main, doc=__doc__, groups={"Output": [DOCUMENT]})

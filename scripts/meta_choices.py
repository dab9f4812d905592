"""Sets what the cheaper meta gradients cost against what they reach, as a table and a plot.

Usage: python scripts/meta_choices.py [--out=docs]

Reads what other programs measured, and where they left it in docs/: accuracies of
`scripts/digits_table.py` and of `python -m gdw_tf.compare` on CIFAR-10, costs of
`python -m gdw_tf.benchmark`. A method with a memory is given the cost of the one without.
Writes meta_choices.md and meta_choices.png.
"""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from gdw_tf import cli
from gdw_tf.data.figures import check_matplotlib
from gdw_tf.results import markdown_table, markdown_text

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DOCS = Path(__file__).parents[1] / "docs"
MARKERS = "oXs^vD<>Ph*"


class Panel(NamedTuple):
    """Accuracies of methods in one setting, and what their steps cost on a network.

    Attributes:
        title: of the setting.
        accuracies: percent by method.
        costs: a step's time over that of stock Keras's, by method.
    """

    title: str
    accuracies: dict[str, float]
    costs: dict[str, float]


def main(argv: list[str]) -> None:
    """Reads, writes and draws."""
    with cli.user_errors():
        cli.check_all_flags(argv)
        check_matplotlib()
        panels = [
            read("digits, uniform 60 %", "digits/meta_choices.csv", "small_cnn", "uniform 60 %"),
            read("digits, flip 40 %", "digits/meta_choices.csv", "small_cnn", "flip 40 %"),
            read("CIFAR-10, uniform 40 %", "cifar10/uniform40/table.csv", "resnet32"),
            read("CIFAR-10, flip 40 %", "cifar10/flip40/table.csv", "resnet32"),
        ]
    out = Path(cli.OUT.value or DOCS)
    (out / "meta_choices.md").write_text(markdown(panels))
    picture(panels).savefig(out / "meta_choices.png", dpi=100)


def read(title: str, table: str, network: str, setting: str | None = None) -> Panel:
    """Reads a setting's accuracies, and of the methods in them the costs.

    Raises:
        OSError: a file is not there.
    """
    with (DOCS / table).open(newline="") as file:
        accuracies = {
            row["method"]: 100 * float(row["mean_accuracy"])
            for row in csv.DictReader(file)
            if setting in (None, row.get("setting"))
        }
    rows = json.loads((DOCS / "benchmark" / f"{network}.json").read_text())
    measured = {row["method"]: row["ratio_to_plain"] for row in rows}
    costs = {name: measured.get(re.sub(r":memory=[\d.]+", "", name)) for name in accuracies}
    known = [name for name, cost in costs.items() if cost is not None]
    return Panel(title, {n: accuracies[n] for n in known}, {n: costs[n] for n in known})


def markdown(panels: list[Panel]) -> str:
    """The table: a row a method, for each setting its accuracy and its cost."""
    names = list(dict.fromkeys(name for panel in panels for name in panel.accuracies))
    head = ["", *(column for panel in panels for column in (panel.title, "cost"))]
    rows = []
    for name in names:
        pairs = (
            (f"{panel.accuracies[name]:.1f}", f"{panel.costs[name]:.2f}")
            if name in panel.accuracies
            else ("", "")
            for panel in panels
        )
        rows.append([f"`{markdown_text(name)}`", *(cell for pair in pairs for cell in pair)])
    lines = [
        *markdown_table(head, rows),
        "",
        "Test accuracy in %, and the time of a step over that of stock Keras's `fit`. Made by "
        "`python scripts/meta_choices.py` from the tables beside it, which say what they were made "
        "by: digits/meta_choices.csv, cifar10/uniform40 and cifar10/flip40; benchmark/.",
    ]
    return "\n".join(lines) + "\n"


def picture(panels: list[Panel]) -> Figure:
    """Draws accuracy over cost, a panel a setting."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 8), layout="constrained")
    names = list(dict.fromkeys(name for panel in panels for name in panel.accuracies))
    handles = {}
    for axes, panel in zip(figure.subplots(2, 2).flat, panels, strict=True):
        for number, name in enumerate(names):
            if name in panel.accuracies:
                style = {"color": f"C{number % 10}", "marker": MARKERS[number % len(MARKERS)]}
                point = panel.costs[name], panel.accuracies[name]
                handles[name] = axes.scatter(*point, s=60, alpha=0.8, label=name, **style)
        axes.set(title=panel.title, xlabel="step, of stock Keras's", ylabel="test accuracy in %")
    figure.legend(handles=list(handles.values()), loc="outside lower center", ncols=3)
    return figure


if __name__ == "__main__":
    cli.run(main, doc=__doc__, groups={"Output": [cli.OUT]})

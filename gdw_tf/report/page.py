"""The page: one file of HTML, style and drawings, which needs nothing from anywhere else."""

from __future__ import annotations

import html
import importlib.resources
from collections.abc import Sequence

import numpy as np

from gdw_tf.provenance import made_by
from gdw_tf.report import palette, svg
from gdw_tf.report.charts import per_class
from gdw_tf.report.figures import Figure
from gdw_tf.report.groups import Group
from gdw_tf.report.runs import ReportedRun
from gdw_tf.results import costs, percent
from gdw_tf.summary import LAST_EPOCHS

_TABLE, _CLASSES, _RUNS = "table", "per_class", "runs"
_TASK = (
    *("dataset", "human_labels", "noise", "noise_rate", "noise_file"),
    *("imbalance", "imbalance_factor", "train_examples"),
)


def page(groups: Sequence[Group], figures: Sequence[Figure], command: str) -> str:
    """Writes the page.

    Args:
        groups: the runs.
        figures: what is to be shown of them.
        command: what the page was made by.

    Returns:
        HTML.
    """
    count = sum(len(group.runs) for group in groups)
    title = f"{_data_of(groups)}: {count} run{'s' * (count > 1)} of gdw_tf"
    sections = [
        (_TABLE, "Comparison", _comparison(groups)),
        *((figure.key, figure.title, _figure(figure)) for figure in figures),
        (_CLASSES, "Accuracy of each class", _class_tables(groups)),
        (_RUNS, "Runs, flags and versions", "".join(map(_runs, groups))),
    ]
    links = "".join(f'<li><a href="#{key}">{_(name)}</a></li>' for key, name, _html in sections)
    body = "".join(
        f'<section aria-labelledby="{key}"><h2 id="{key}" tabindex="-1">{_(name)}</h2>'
        f"{content}</section>\n"
        for key, name, content in sections
    )
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{_(title)}</title>
<link rel="icon" href="data:,">
<style>
{_style()}</style>
</head>
<body>
<a class="skip" href="#main">Skip to the results</a>
<header><h1>{_(title)}</h1>
{_lead(groups)}</header>
<nav aria-label="Contents"><ul>{links}</ul></nav>
<main id="main" tabindex="-1">
{body}</main>
<footer><p>Page made on: {_(made_by())}</p><p><code>{_(command)}</code></p></footer>
</body>
</html>
"""


def _(text: object) -> str:
    return html.escape(str(text))


def _name(text: str) -> str:
    """The name of a group, or what begins with one: it may be broken after a colon."""
    return _(text).replace(":", ":<wbr>")


def _style() -> str:
    """The style sheet, with the colours of the palette."""
    rules = [importlib.resources.files("gdw_tf.report").joinpath("page.css").read_text()]
    for ground in ("light", "dark"):
        lines = "".join(
            f".s{number} {{ --colour: {colour}; }}"
            for number, colour in enumerate(palette.LINES[ground])
        )
        shades = "".join(
            f".q{number} {{ fill: {colour}; }} .r{number} {{ --colour: {colour}; }} "
            f"svg .t{number} {{ fill: {palette.text_on(colour)}; }}"
            for number, colour in enumerate(palette.shades(ground))
        )
        both = f"{lines}\n{shades}\n"
        rules.append(
            both if ground == "light" else f"@media (prefers-color-scheme: dark) {{\n{both}}}\n"
        )
    return "".join(rules)


def _data_of(groups: Sequence[Group]) -> str:
    """The data sets, in the order of the groups."""
    return ", ".join(dict.fromkeys(group.settings.dataset for group in groups))


def _lead(groups: Sequence[Group]) -> str:
    """The first sentences: on what the runs were trained, and which was best."""
    noises = dict.fromkeys(
        ("labels as they come" if one.noise == "none" else f"{one.noise} noise")
        + (f" ({one.human_labels})" if one.human_labels else "")
        + (f" at rate {one.noise_rate:g}" if one.noise_rate else "")
        + (f", imbalance factor {one.imbalance_factor:g}" if one.imbalance_factor < 1 else "")
        for one in (group.settings for group in groups)
    )
    said = [f"Trained with {'; '.join(noises)}."]
    reached = [group.row for group in groups if group.row.accuracies]
    if len(reached) > 1 and len(set(map(_task, groups))) == 1:
        best = max(reached, key=lambda row: row.mean)
        said.append(
            f"Highest test accuracy: {best.name} with {percent(best.accuracies)} % (mean of the "
            f"last {LAST_EPOCHS} epochs)."
        )
    return f"<p>{_(' '.join(said))}</p>"


def _task(group: Group) -> tuple:
    """What says which training and test set a group has, but for the seed."""
    return (*(getattr(group.settings, name) for name in _TASK), group.runs[0].files)


def _comparison(groups: Sequence[Group]) -> str:
    """The table of what the groups reached and cost."""
    head = (
        *("method", "seeds", "test accuracy in %", "seconds a step", "seconds a run"),
        "peak memory in MiB",
    )
    rows = []
    for group in groups:
        seeds = ", ".join(str(run.settings.seed) for run in group.complete) or "none complete"
        rows.append([group.name, seeds, percent(group.row.accuracies), *costs(group.row)])
    caption = (
        f"Accuracy: mean ± standard deviation over the seeds of the mean of the last {LAST_EPOCHS} "
        "epochs, of complete runs. Costs: medians."
    )
    return f"<p>{caption}</p>{_rows('Comparison', head, rows)}"


def _figure(figure: Figure) -> str:
    missing = "".join(f'<p class="missing">{_(sentence)}</p>' for sentence in figure.missing)
    if not figure.panels:
        return f"{missing or _nothing()}"
    legend = "".join(
        f"<li>{svg.swatch(one)}<span>{_name(one.name)}</span></li>"
        for one in figure.legend
        if one.shade is None
    )
    panels = "".join(
        f'<div class="panel"><h3>{_name(panel.title)}</h3>'
        + svg.draw(panel, f"{figure.key}-{place}")
        + (f'<p class="note">{_(panel.note)}</p>' if panel.note else "")
        + "</div>"
        for place, panel in enumerate(figure.panels)
    )
    return (
        f"<figure><figcaption>{_(figure.caption)}</figcaption>"
        + (f'<ul class="legend">{legend}</ul>' if legend else "")
        + f'<div class="panels">{panels}</div></figure>{missing}'
    )


def _nothing() -> str:
    return '<p class="missing">No epoch is complete.</p>'


def _class_tables(groups: Sequence[Group]) -> str:
    """For each training set but for its seed a table: a row a class, a column a group."""
    of_data: dict[tuple, list[Group]] = {}
    for group in groups:
        names = [run.class_names for run in group.shown if run.confusion is not None]
        if names:
            of_data.setdefault((names[0], _task(group)), []).append(group)
    if not of_data:
        return '<p class="missing">There is no checkpoint whose test images could be looked at.</p>'
    tables = []
    for (names, _same_task), members in of_data.items():
        accuracies = [
            per_class([run for run in group.shown if run.confusion is not None])
            for group in members
        ]
        sizes = np.mean(
            [run.class_counts for group in members for run in group.shown if run.class_counts],
            axis=0,
        )
        rows = [
            [name, f"{sizes[place]:.0f}", *(_accuracy(one[place]) for one in accuracies)]
            for place, name in enumerate(names)
        ]
        head = ("class", "training images", *(group.name for group in members))
        tables.append(_rows("Accuracy of each class", head, rows))
    caption = (
        "Test accuracy in % of the latest checkpoint, the mean over the seeds, and the mean number "
        "of training images of the class."
    )
    return f"<p>{caption}</p>{''.join(tables)}"


def _accuracy(percent: float) -> str:
    """Of a class without test images, a dash."""
    return "—" if np.isnan(percent) else f"{percent:.1f}"


def _runs(group: Group) -> str:
    """What made the runs of a group."""
    return "".join(
        f"<details><summary>{_(group.name)}, seed {run.settings.seed}: {_(_state(run))}</summary>"
        f"<div>{_run(run)}</div></details>"
        for run in group.runs
    )


def _state(run: ReportedRun) -> str:
    if run.summary is not None:
        return f"{100 * run.summary['final_accuracy']:.1f} %"
    return f"unfinished, {run.epochs} of {run.settings.epochs} epochs"


def _run(run: ReportedRun) -> str:
    summary = run.summary or {}
    facts = {
        "directory": run.workdir.root,
        **{f"version of {name}": one for name, one in summary.get("versions", {}).items()},
        "replicas": summary.get("replicas"),
        "ran on": summary.get("ran_on"),
        "steps that were not finite": summary.get("non_finite_steps"),
        "rollbacks": summary.get("rollbacks"),
        "best epoch's test accuracy in %": (
            f"{100 * summary['best_accuracy']:.1f}" if summary else None
        ),
    }
    rows = [[name, value] for name, value in facts.items() if value is not None]
    flags = run.workdir.flags.read_text()
    name = f"Flags of {run.workdir.root.name}"
    return (
        f"{_rows(f'Facts of {run.workdir.root.name}', ('what', 'value'), rows)}"
        f"<p>Flags, for <code>python -m gdw_tf.train --flagfile=flags.txt</code>:</p>"
        f'<pre tabindex="0" role="region" aria-label="{_(name)}">{_(flags)}</pre>'
    )


def _rows(name: str, head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A table in a region that scrolls and takes the keyboard's focus."""
    columns = "".join(f'<th scope="col">{_name(one)}</th>' for one in head)
    lines = "".join(
        f'<tr><th scope="row">{_name(row[0])}</th>'
        + "".join(f"<td>{_(one)}</td>" for one in row[1:])
        + "</tr>"
        for row in rows
    )
    return (
        f'<div class="scroll" role="region" aria-label="{_(name)}" tabindex="0"><table><thead><tr>'
        f"{columns}</tr></thead><tbody>{lines}</tbody></table></div>"
    )

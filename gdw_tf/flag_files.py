"""Flag files: settings as lines of one, and what differs between one and other settings.

Every run has such a file in its workdir, from which it can be run again.
"""

from __future__ import annotations

import csv
import dataclasses
import io
from collections.abc import Iterable

from absl import flags

from gdw_tf.settings import Settings, resolve


def flag_lines(settings: Settings) -> list[str]:
    """The settings as the lines of a flag file; what is `None` is left out."""
    return [
        flag_line(name, value)
        for name, value in dataclasses.asdict(settings).items()
        if value is not None
    ]


def lines_beside_defaults(settings: Settings) -> list[str]:
    """The settings as lines of a flag file, without those that are the data set's defaults."""
    defaults = dataclasses.asdict(resolve(dataset=settings.dataset)) | {"dataset": None}
    return [
        flag_line(name, value)
        for name, value in dataclasses.asdict(settings).items()
        if value is not None and value != defaults[name]
    ]


def settings_of_lines(lines: Iterable[str]) -> list[str]:
    """Of the lines of a run's flag file, the settings."""
    return [line for line in map(str.strip, lines) if _setting_of(line) is not None]


def differences(lines: Iterable[str], settings: Settings) -> list[str]:
    """What differs between the settings of a run's flag file and others.

    A run that is older than a setting was made with its default.

    Args:
        lines: of the flag file.
        settings: the others.

    Returns:
        Lines of either that the other lacks, sorted.
    """
    there, here = set(settings_of_lines(lines)), set(flag_lines(settings))
    known = {_setting_of(line) for line in there}
    defaults = {flag_line(field.name, field.default) for field in dataclasses.fields(Settings)}
    added_since = {line for line in here & defaults if _setting_of(line) not in known}
    return sorted((there ^ here) - added_since)


def _setting_of(line: str) -> str | None:
    """The setting that a line of a flag file is about; `None` if it is about none."""
    if not line.startswith("--"):
        return None
    name = line.removeprefix("--").split("=")[0]
    names = {field.name for field in dataclasses.fields(Settings)}
    return next((one for one in (name, name.removeprefix("no")) if one in names), None)


def flag_line(name: str, value: object) -> str:
    """One line of a flag file."""
    if isinstance(value, bool):
        return f"--{name}" if value else f"--no{name}"
    if isinstance(value, tuple | list):
        text = io.StringIO()
        csv.writer(text, lineterminator="").writerow(value)  # as a flag of a list is read
        value = text.getvalue()
    return f"--{name}={value}"


def assignments_of(lines: Iterable[str]) -> list[str]:
    """The flags of a flag file, `--NAME=VALUE`, `--NAME` or `--noNAME`, as `NAME=VALUE` each.

    Args:
        lines: of the file; those that are no flags, such as comments, are left out.
    """
    texts = (line.strip() for line in lines)
    return [_assignment(text.removeprefix("--")) for text in texts if text.startswith("--")]


def _assignment(text: str) -> str:
    if "=" in text:
        return text
    return f"{text}=true" if text in flags.FLAGS else f"{text.removeprefix('no')}=false"

"""What the command-line programs share: parsing with readable help, and the exit codes.

A user's mistake, a wrong flag or a wrong input, ends a program with one line on stderr and exit
code 2, before any long work where it can be seen before; numbers that go wrong by the user's
settings or data are one, which only the training shows. What the machine does to a program
(`gdw_tf.failures`) is one line too, and exit code 1; anything else that goes wrong is a traceback
and exit code 1.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import textwrap
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence

import tensorflow as tf
from absl import app, flags, logging

from gdw_tf import failures
from gdw_tf.checks import is_printable, one_line

Groups = Mapping[str, Sequence[flags.FlagHolder]]


class _Path(flags.ArgumentParser):
    """A path. Shells leave a ~ behind the = of a flag as it is."""

    syntactic_help = "a path that neither begins nor ends with a blank"

    def parse(self, argument: str) -> str:
        if argument != argument.strip():  # a flag file would not keep it
            raise ValueError(argument)
        return os.path.expanduser(argument)


def define_path(name: str, default: str | None, help: str) -> flags.FlagHolder[str]:
    """Defines a flag that names a file or a directory; a leading ~ is the user's own."""
    return flags.DEFINE(_Path(), name, default, help, serializer=flags.ArgumentSerializer())


OUT = define_path("out", None, "Directory or file to write; each program says its default.")


def run(main: Callable[[list[str]], None], *, doc: str, groups: Groups) -> None:
    """Parses the command line and runs a program.

    Args:
        main: takes the program's name and its positional arguments.
        doc: what `--help` says first; its first line is the usage.
        groups: the program's flags by heading, for `--help`.
    """
    logging.set_verbosity(logging.WARNING)
    warnings.formatwarning = lambda message, *_, **__: f"warning: {message}\n"
    tf.get_logger().setLevel("WARNING")

    def parse(argv: Sequence[str]) -> list[str]:
        if {"--help", "-h", "-help"} & set(argv[1:]):
            print(help_text(doc, groups), flush=True)
            sys.exit(0)
        with user_errors():
            for argument in argv[1:]:
                # A line break would become a line of its own in the flag file of a run.
                if not is_printable(argument):
                    raise ValueError(
                        "An argument must be one line of text in UTF-8. Received: "
                        f"{argument!r}; allowed: no control characters."
                    )
            return flags.FLAGS(argv)

    def run_main(argv: list[str]) -> None:
        with machine_failures():
            main(argv)
            sys.stdout.flush()

    try:
        app.run(run_main, flags_parser=parse)
    except BrokenPipeError:  # whoever read what is printed has seen enough
        stop_printing()
        sys.exit(128 + signal.SIGPIPE)


def stop_printing() -> None:
    """Sends what is printed from now on nowhere, where nobody reads it any more."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def check_all_flags(argv: Sequence[str]) -> None:
    """Checks that there is nothing but flags on the command line.

    Args:
        argv: the program's name and its positional arguments.

    Raises:
        ValueError: there is a positional argument.
    """
    if argv[1:]:
        raise ValueError(f"All arguments are flags. Received: {' '.join(argv[1:])}")


@contextlib.contextmanager
def user_errors() -> Iterator[None]:
    """Turns errors of the user's into one line and exit code 2, of the machine's into code 1."""
    try:
        yield
    except flags.IllegalFlagValueError as error:
        fail(_what_is_allowed(str(error)))
    except BrokenPipeError:  # no file of the user's, see `run`
        raise
    except (ValueError, TypeError, OSError, flags.Error) as error:
        of_machine = failures.reason(error) if isinstance(error, OSError) else None
        fail(of_machine or str(error), code=1 if of_machine else 2)


@contextlib.contextmanager
def machine_failures(
    reason: Callable[[Exception], str | None] = failures.reason,
    kept: Callable[[], str] | None = None,
) -> Iterator[None]:
    """Turns what the machine does to a program into one line and exit code 1.

    Numbers that are not finite are told in the same way, with exit code 2: no machine made them.

    Args:
        reason: says it of an error; `None` of one that is to go its way.
        kept: says what is not lost.
    """
    try:
        yield
    except Exception as error:
        said = reason(error)
        if said is None:
            raise
        code = 2 if isinstance(error, FloatingPointError) else 1
        fail(said if kept is None else f"{said} {kept()}", code)


def fail(message: str, code: int = 2) -> None:
    """Ends the program with one line on stderr."""
    print(f"error: {one_line(message, length=10_000)}", file=sys.stderr)
    sys.exit(code)


def _what_is_allowed(message: str) -> str:
    """Adds what a flag takes to absl's message, which begins `flag --NAME=VALUE: `."""
    name, _, rest = message.removeprefix("flag --").partition("=")
    value, separator, _ = rest.partition(": ")
    if name not in flags.FLAGS or not separator:
        return message
    flag = flags.FLAGS[name]
    choices = ("true", "false") if flag.boolean else getattr(flag.parser, "enum_values", ())
    allowed = ", ".join(choices) or flag.parser.syntactic_help
    return f"{name} cannot be read. Received: {name}={value}; allowed: {allowed}."


def help_text(doc: str, groups: Groups) -> str:
    """The program's documentation and its flags under their headings."""
    lines = [textwrap.dedent(doc).strip()]
    for heading, holders in groups.items():
        lines += ["", f"{heading}:"]
        for holder in holders:
            flag = flags.FLAGS[holder.name]
            default = "" if flag.default is None else f" (default: {flag.default_as_str})"
            name = f"  --[no]{flag.name}" if flag.boolean else f"  --{flag.name}"
            lines += textwrap.wrap(
                f"{flag.help}{default}",
                width=96,
                initial_indent=f"{name:<28} " if len(name) < 28 else f"{name} ",
                subsequent_indent=" " * 29,
            )
    lines += ["", "Any flag may stand in a file: --flagfile=FILE, one flag a line, # for comments."]
    return "\n".join(lines)

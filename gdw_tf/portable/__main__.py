"""Training as a portable program, for devices that TensorFlow has no build for.

Usage: python -m gdw_tf.portable export|run|import ...

export writes training and evaluation step as StableHLO, with the data; run trains with them in JAX,
as the run.py of the export does where there is no TensorFlow; import makes a run of gdw_tf of the
result. Each has its --help.
"""

from __future__ import annotations

import importlib
import sys

from gdw_tf import cli

PROGRAMS = {"export": "export", "import": "import_run", "run": "run"}


def main() -> None:
    """Starts the program that the first argument names."""
    name = sys.argv[1] if len(sys.argv) > 1 else ""
    if name in ("--help", "-h", "-help"):
        print(cli.help_text(__doc__, {}))
        return
    if name not in PROGRAMS:
        cli.fail(f"Name a program. Received: {name!r}; allowed: {', '.join(PROGRAMS)}.")
    program = importlib.import_module(f"gdw_tf.portable.{PROGRAMS[name]}")
    sys.argv = [f"{sys.argv[0]} {name}", *sys.argv[2:]]
    if name == "run":
        program.main()
    else:
        cli.run(program.main, doc=program.__doc__, groups=program.GROUPS)


if __name__ == "__main__":
    main()

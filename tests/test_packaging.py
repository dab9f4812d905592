"""What is built installs, and runs away from the repository."""

from __future__ import annotations

import importlib
import subprocess
import sys
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

REPOSITORY = Path(__file__).parents[1]
PROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
SHORT = ("--train_examples=100", "--epochs=1", "--num_meta=20", "--batch_size=50")


def run(*command, cwd):
    finished = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)
    assert finished.returncode == 0, finished.stderr
    return finished.stdout


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """The directory with the wheel and the sdist, the wheel made of the sdist."""
    out = tmp_path_factory.mktemp("dist")
    run(sys.executable, "-m", "build", f"--outdir={out}", REPOSITORY, cwd=out)
    return out


@pytest.mark.parametrize("script", PROJECT["scripts"])
def test_a_console_script_is_a_program(script):
    module, _, function = PROJECT["scripts"][script].partition(":")
    program = importlib.import_module(module)
    assert callable(getattr(program, function))
    name = module.removesuffix(".__main__")
    assert program.__doc__.splitlines()[2].startswith(f"Usage: python -m {name} ")
    assert name.endswith(script.removeprefix("gdw-"))


@pytest.mark.nightly
def test_the_wheel_and_the_sdist_hold_what_they_should(built):
    (wheel,) = built.glob("*.whl")
    held = set(zipfile.ZipFile(wheel).namelist())
    package = {
        str(path.relative_to(REPOSITORY))
        for path in (REPOSITORY / "gdw_tf").rglob("*")
        if path.suffix in (".py", ".typed", ".json", ".html", ".css")
    }
    assert {"gdw_tf/py.typed", "gdw_tf/data/noise/flip_maps.json"} <= package
    assert {name for name in held if ".dist-info/" not in name} == package

    (sdist,) = built.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    tracked = run("git", "ls-files", "-z", cwd=REPOSITORY).split("\0")
    missing = {name for name in tracked if name and not name.startswith(".")} - names
    assert not missing
    assert not [name for name in names if name.endswith(".pyc") or name.startswith(".")]


@pytest.mark.nightly
def test_the_wheel_runs_in_a_fresh_environment(built, tmp_path):
    venv.create(tmp_path / "environment", with_pip=True)
    programs = tmp_path / "environment" / "bin"
    (wheel,) = built.glob("*.whl")
    run(programs / "python", "-m", "pip", "install", "--quiet", wheel, cwd=tmp_path)

    for script in PROJECT["scripts"]:
        assert "Usage: python -m gdw_tf." in run(programs / script, "--help", cwd=tmp_path)
    assert "test accuracy" in run(programs / "gdw-train", *SHORT, "--workdir=run", cwd=tmp_path)
    assert '"accuracy"' in run(programs / "gdw-evaluate", "run", cwd=tmp_path)
    assert "exported" in run(programs / "gdw-export", "run", "--out=served", cwd=tmp_path)
    assert (tmp_path / "served" / "saved_model.pb").exists()

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from gdw_tf import data
from gdw_tf.data import sources


def test_the_names_of_the_sources():
    assert data.names() == (
        "cifar10",
        "cifar100",
        "cifar100_n",
        "cifar10_n",
        "clothing1m",
        "csv",
        "digits",
        "folder",
        "npz",
        "tfds:NAME",
    )


def test_an_unknown_name_is_an_error_that_says_what_is_known():
    for name in ("mnist", "cifar10:small", "tfds", "tfds:"):
        with pytest.raises(ValueError, match=f"name='{name}'; allowed: cifar10, .*, tfds:NAME"):
            data.load(name)


def test_members_of_a_family_are_registered_under_its_name():
    assert data.registered_name("digits") == "digits"
    assert data.registered_name("tfds:mnist") == "tfds:NAME"
    assert data.registered_name("tfds:imagenet_resized/32x32:2.*.*") == "tfds:NAME"


def test_an_option_that_a_source_does_not_take_is_an_error():
    with pytest.raises(ValueError, match="digits does not take image_size. Received: image_size="):
        data.load("digits", image_size=(8, 8))
    assert data.load("digits", image_size=None).name == "digits"


def test_a_new_source_is_a_new_file(tmp_path, monkeypatch):
    (tmp_path / "ramp.py").write_text(
        "import numpy as np\n"
        "from gdw_tf.data.sources.source import Source\n"
        "def load_ramp(*, data_dir, download):\n"
        "    x = np.zeros((3, 5, 7, 2), np.uint8)\n"
        "    y = np.arange(3)\n"
        "    return Source(f'{data_dir} {download}', x, y, x, y, ('a', 'b', 'c'), (), (), False)\n"
        "LOADERS = {'ramp': load_ramp}\n"
    )
    monkeypatch.setattr(sources, "__path__", [*sources.__path__, str(tmp_path)])
    assert "ramp" in data.names()
    source = data.load("ramp", data_dir="there", download=False)
    assert source.name == "there False"
    assert source.num_classes == 3
    assert source.image_shape == (5, 7, 2)
    np.testing.assert_array_equal(source.y_train, [0, 1, 2])
    del sys.modules["gdw_tf.data.sources.ramp"]


def test_importing_the_package_imports_no_data_package():
    program = (
        "import sys, gdw_tf.data; gdw_tf.data.names(); "
        "print([m for m in ('tensorflow_datasets', 'sklearn.datasets') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout == "[]\n", done.stderr

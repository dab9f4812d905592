"""ONNX, a format that many runtimes read; written by tf2onnx, read by ONNX Runtime.

The names stand in the metadata of the model: `class_names`, a list in JSON.
"""

from __future__ import annotations

import importlib.util
import json
import logging
import warnings
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from gdw_tf.checks import one_line
from gdw_tf.serving.plain import plain_model
from gdw_tf.serving.signature import Served, serving_model

SUFFIX = ".onnx"
_NAMES = "class_names"


def check_installed() -> None:
    """Checks that the packages of the extra `onnx` are there.

    Raises:
        ValueError: one is not.
    """
    for package in ("onnx", "tf2onnx", "onnxruntime"):
        if importlib.util.find_spec(package) is None:
            raise ValueError(
                f"ONNX needs {package}, which is not installed: pip install 'gdw_tf[onnx]'"
            )


def write(classifier: keras.Model, path: Path, class_names: tuple[str, ...]) -> None:
    """Writes the file, see `gdw_tf.serving.write`.

    Raises:
        ValueError: the classifier has several inputs, or an operation that tf2onnx does not know.
    """
    import onnx

    model = serving_model(plain_model(classifier))
    if len(model.inputs) != 1:
        raise ValueError(
            f"ONNX files are written of classifiers of one input. Received: {classifier.name!r} "
            f"with {len(model.inputs)}; allowed otherwise: saved_model."
        )
    logging.getLogger("tf2onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # of NumPy, about Keras
        model.export(
            str(path),
            format="onnx",
            verbose=False,
            input_signature=[
                tf.TensorSpec(tensor.shape, tensor.dtype, name=tensor.name)
                for tensor in model.inputs
            ],
        )
    graph = onnx.load(path)
    for tensor in (*graph.graph.input, *graph.graph.output):
        tensor.type.tensor_type.shape.dim[0].dim_param = "batch"
    onnx.helper.set_model_props(graph, {_NAMES: json.dumps(class_names, ensure_ascii=False)})
    try:
        onnx.checker.check_model(graph)
    except onnx.checker.ValidationError as error:  # tf2onnx leaves what it does not know as it is
        raise ValueError(
            f"This classifier cannot be written as ONNX. Received: {classifier.name!r}: "
            f"{one_line(error)}"
        ) from error
    onnx.save(graph, path)


def load(path: Path) -> Served:
    """Loads the file, see `gdw_tf.serving.load`."""
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    (images,) = session.get_inputs()
    names = [output.name for output in session.get_outputs()]

    def answer(batch: np.ndarray) -> dict[str, np.ndarray]:
        return dict(zip(names, session.run(names, {images.name: batch}), strict=True))

    class_names = json.loads(session.get_modelmeta().custom_metadata_map[_NAMES])
    kind = images.type.removeprefix("tensor(").removesuffix(")")
    dtype = {"float": "float32", "double": "float64"}.get(kind, kind)
    return Served(tuple(images.shape[1:]), dtype, tuple(class_names), answer)

"""Times the training steps of methods beside stock Keras's, and says what they cost.

Usage: python -m gdw_tf.benchmark [--methods=keras,ce,mw_net,gdw] [--rounds=30]
       [flags of gdw_tf.train]

Steps are taken in turn in one process, one of each method and again from the first, so that what
slows the machine down slows all of them; medians are printed, and their ratio to `keras`: the same
network with Keras's own layers, optimizer and `fit`. A method may have flags of its own, as in
--methods=keras,gdw,gdw:virtual_scope=last_stage. Images are random; by default ResNet-32 takes 32 x
32 pixels in batches of 100 and, from the meta set, 100 more. Peak memory is that of a process of
its own for each method, TensorFlow included. The bound is the time that the floating-point
operations of a step would take at the rate of a large matrix product on this machine.
"""

from __future__ import annotations

import concurrent.futures
import dataclasses
import json
import multiprocessing
import resource
import shlex
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import keras
import numpy as np
import tensorflow as tf
from absl import flags
from tensorflow.python.framework.ops import get_stats_for_node_def

from gdw_tf import cli, data, experiment, train_flags
from gdw_tf.batch_normalization import BatchNormalization
from gdw_tf.compare import METHODS
from gdw_tf.comparison import WITHOUT_RUNS, Contender
from gdw_tf.data.figures import check_matplotlib
from gdw_tf.methods.meta import MetaMethod
from gdw_tf.provenance import made_by
from gdw_tf.settings import Settings

if TYPE_CHECKING:
    from matplotlib.figure import Figure

STOCK = "keras"
ROUNDS = flags.DEFINE_integer("rounds", 30, "Steps of each method to time.", lower_bound=1)
CLASSES = flags.DEFINE_integer("classes", 10, "Number of classes.", lower_bound=2)
THREADS = flags.DEFINE_integer("threads", None, "Threads; default one a core.", lower_bound=1)
JSON = flags.DEFINE_string("json", None, "File to write the rows to, as a list.")
PLOT = flags.DEFINE_string("plot", None, "Picture to write.")

WARM_UP = 3  # steps that are not timed: the first is traced, the next ones find their memory
MEMORY_STEPS = 5
MEMORY_UNIT = 1 if sys.platform == "darwin" else 1024
MATRIX_SIDE = 2048
PRODUCTS = ("Conv", "Depthwise", "MatMul", "BatchMatMul")
"""How the names of TensorFlow's convolutions and matrix products begin."""


@dataclasses.dataclass(frozen=True)
class Platform:
    """What a step is compiled for and run with.

    Attributes:
        classes: number of classes.
        threads: of TensorFlow; `None` for one a core.
        jit: `"auto"`, `"on"` or `"off"`.
    """

    classes: int
    threads: int | None
    jit: str


@dataclasses.dataclass(frozen=True)
class Row:
    """What a step of one method costs.

    Attributes:
        method: as it was given.
        meta_gradient: `"exact"`, or the flags that make it cheaper; `"none"` without one.
        median_step_seconds: of the steps timed.
        ratio_to_plain: that over stock Keras's; `None` where that was not timed.
        images_per_second: training images.
        peak_memory_bytes: of a process that takes a few steps.
        floating_point_operations: of the convolutions and matrix products of a step; `None` where
            steps differ.
        share_of_bound: the time that these take at the rate of a matrix product, over the median.
    """

    method: str
    meta_gradient: str
    median_step_seconds: float
    ratio_to_plain: float | None
    images_per_second: float
    peak_memory_bytes: int
    floating_point_operations: int | None
    share_of_bound: float | None


def main(argv: list[str]) -> None:
    """Times the methods, prints a table and writes what was asked for."""
    with cli.user_errors():
        if argv[1:]:
            raise ValueError(f"All arguments are flags. Received: {' '.join(argv[1:])}")
        if PLOT.value:
            check_matplotlib()
        names = METHODS.value if METHODS.present else [STOCK, "ce", "mw_net", "gdw"]
        of_method = {name: settings_of(name) for name in names}
        platform = Platform(CLASSES.value, THREADS.value, train_flags.JIT.value)
        prepare(platform)
        # First, because a process begins with the peak memory of the one that started it.
        peaks = {name: peak_memory(name, of_method[name], platform) for name in of_method}
    steps = {name: Step(name, settings, platform) for name, settings in of_method.items()}
    seconds = median_seconds(steps, ROUNDS.value)
    rates = {
        precision: matrix_product_rate(precision)
        for precision in {settings.precision for settings in of_method.values()}
    }
    rows = []
    for name, step in steps.items():
        median, operations = seconds[name], step.floating_point_operations()
        rate = rates[of_method[name].precision]
        rows.append(
            Row(
                method=name,
                meta_gradient=step.meta_gradient,
                median_step_seconds=median,
                ratio_to_plain=median / seconds[STOCK] if STOCK in seconds else None,
                images_per_second=step.batch_size / median,
                peak_memory_bytes=peaks[name],
                floating_point_operations=operations,
                share_of_bound=operations / rate / median if operations is not None else None,
            )
        )
    print(markdown(rows, ROUNDS.value, platform))
    if JSON.value:
        Path(JSON.value).write_text(json.dumps([dataclasses.asdict(row) for row in rows], indent=1))
    if PLOT.value:
        picture(rows).savefig(PLOT.value, dpi=100)


def settings_of(name: str) -> Settings:
    """The settings of a method by its name, those of CIFAR-10 where nothing else is said.

    Raises:
        ValueError: there is no such method, or it takes no steps.
    """
    contender = Contender.parse("ce" if name == STOCK else name)
    if contender.method in WITHOUT_RUNS:
        raise ValueError(f"methods names one that takes no steps of its own. Received: {name}")
    dataset = () if flags.FLAGS["dataset"].present else ("dataset=cifar10",)
    return contender.settings("0", dataset)


def prepare(platform: Platform) -> None:
    """Sets TensorFlow's threads for this process."""
    if platform.threads:
        tf.config.threading.set_intra_op_parallelism_threads(platform.threads)
        tf.config.threading.set_inter_op_parallelism_threads(platform.threads)


class Step:
    """Training steps, as `fit` takes them, always on the same random batches.

    Args:
        name: the method's, or `STOCK`.
        settings: its settings.
        platform: what to compile them for.

    Attributes:
        meta_gradient: see `Row`.
        batch_size: number of training images.
    """

    def __init__(self, name: str, settings: Settings, platform: Platform) -> None:
        source = random_source(settings, platform.classes)
        noisy = experiment.prepare_data(settings, source)
        streams = experiment.batch_streams(settings, source, noisy, initial_epoch=0)
        pair = next(iter(tf.data.Dataset.zip(streams)))
        model = experiment.build_model(settings, source, noisy)
        self.batch_size = settings.batch_size
        self.meta_gradient = "none"
        self._steps_per_round = 1
        if name == STOCK:
            model, pair = stock(model.classifier, settings), pair[0][:2]
        elif isinstance(model, MetaMethod):
            self.meta_gradient = meta_gradient(settings)
            self._steps_per_round = settings.meta_every
        experiment.set_jit(model, platform.jit)
        if name != STOCK:
            experiment.start(model, streams, len(noisy.y_train))
        model.make_train_function()
        self._model, self._pair = model, pair

    def seconds(self) -> float:
        """Takes a step, or as many as have one meta gradient, and answers the time of one."""
        start = time.perf_counter()
        for _ in range(self._steps_per_round):
            logs = self._model.train_function([self._pair])
            float(logs["loss"])  # is there when the step is done, on a GPU too
        return (time.perf_counter() - start) / self._steps_per_round

    def floating_point_operations(self) -> int | None:
        """Counts those of the convolutions and matrix products of a step, in its graph.

        Returns:
            The count; `None` where steps differ.
        """
        if self._steps_per_round > 1:
            return None
        step = tf.function(self._model.train_step, autograph=False)
        graph = step.get_concrete_function(self._pair).graph
        needed, found = {*graph.control_outputs, *(t.op for t in graph.outputs)}, set()
        while needed:  # what nothing depends on is dropped before a graph runs
            operation = needed.pop()
            found.add(operation)
            needed |= {*operation.control_inputs, *(t.op for t in operation.inputs)} - found
        counts = [
            get_stats_for_node_def(graph, operation.node_def, "flops").value
            for operation in found
            if operation.type.startswith(PRODUCTS)
        ]
        return int(sum(filter(None, counts)))


def random_source(settings: Settings, classes: int) -> data.Source:
    """Random images, as many of each class as a training and a meta batch take."""
    generator = np.random.default_rng(0)
    each = 2 + -(-(settings.batch_size + (settings.num_meta or 0)) // classes)
    labels = np.tile(np.arange(classes), each)
    height, width = settings.image_size or (32, 32)
    images = generator.integers(0, 256, (len(labels), height, width, 3), np.uint8)
    return data.Source(
        name="random",
        x_train=images,
        y_train=labels,
        x_test=images[:classes],
        y_test=labels[:classes],
        class_names=tuple(map(str, range(classes))),
        mean=(127.5,) * 3,
        std=(73.9,) * 3,
        augment=False,
    )


def stock(classifier: keras.Model, settings: Settings) -> keras.Model:
    """The same network, compiled as one does without this library."""

    def keras_layer(layer: keras.layers.Layer) -> keras.layers.Layer:
        kind = type(layer)
        if kind is BatchNormalization:
            kind = keras.layers.BatchNormalization
        return kind.from_config(layer.get_config())

    model = keras.models.clone_model(classifier, clone_function=keras_layer, recursive=True)
    model.compile(
        keras.optimizers.SGD(settings.learning_rate, settings.momentum),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    return model


def meta_gradient(settings: Settings) -> str:
    """Names the choice of meta gradient by the flags that are not the exact one's."""
    defaults = {"meta_every": 1, "virtual_scope": "all"}
    chosen = {name: getattr(settings, name) for name in defaults}
    cheaper = [f"{name}={value}" for name, value in chosen.items() if value != defaults[name]]
    return ", ".join(cheaper) or "exact"


def median_seconds(steps: Mapping[str, Step], rounds: int) -> dict[str, float]:
    """Takes steps in turn, one of each method a round, and answers each one's median time."""
    times: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(WARM_UP + rounds):
        for name, step in steps.items():
            times[name].append(step.seconds())
    return {name: float(np.median(values[WARM_UP:])) for name, values in times.items()}


def matrix_product_rate(policy: str) -> float:
    """Floating-point operations a second of a large matrix product in the compute dtype."""
    side = MATRIX_SIDE
    matrix = tf.ones((side, side), keras.DTypePolicy(policy).compute_dtype)
    times = []
    for _ in range(WARM_UP + 10):
        start = time.perf_counter()
        tf.matmul(matrix, matrix)[0, 0].numpy()
        times.append(time.perf_counter() - start)
    return 2 * side**3 / float(np.median(times[WARM_UP:]))


def peak_memory(name: str, settings: Settings, platform: Platform) -> int:
    """Peak memory in bytes of a process that takes a few steps."""
    context = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(1, context) as pool:
        return pool.submit(_peak_memory_here, name, settings, platform).result()


def _peak_memory_here(name: str, settings: Settings, platform: Platform) -> int:
    prepare(platform)
    step = Step(name, settings, platform)
    for _ in range(MEMORY_STEPS):
        step.seconds()
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * MEMORY_UNIT


def markdown(rows: Sequence[Row], rounds: int, platform: Platform) -> str:
    """The table, with what it was made by."""
    lines = [
        "| method | meta gradient | seconds a step | of keras | images a second | peak MiB | "
        "GFLOP a step | of the bound |",
        "| --- |" + " --- |" * 7,
    ]
    for row in rows:
        operations, share = row.floating_point_operations, row.share_of_bound
        cells = [
            row.method,
            row.meta_gradient,
            f"{row.median_step_seconds:.4f}",
            f"{row.ratio_to_plain:.2f}" if row.ratio_to_plain else "",
            f"{row.images_per_second:.0f}",
            f"{row.peak_memory_bytes / 2**20:.0f}",
            f"{operations / 1e9:.1f}" if operations is not None else "",
            f"{share:.0%}" if share is not None else "",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    threads = platform.threads or "one a core"
    lines += [
        "",
        f"Medians of {rounds} steps, taken in turn; threads: {threads}; jit: {platform.jit}; "
        f"{platform.classes} classes. {made_by()}",
        "",
        f"    python -m gdw_tf.benchmark {shlex.join(sys.argv[1:])}",
    ]
    return "\n".join(lines)


def picture(rows: Sequence[Row]) -> Figure:
    """Draws the time of a step of each method."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 1 + 0.3 * len(rows)), layout="constrained")
    axes = figure.subplots()
    bars = axes.barh(
        [row.method for row in rows],
        [row.median_step_seconds for row in rows],
        color="lightsteelblue",
    )
    ratios = [f"{row.ratio_to_plain:.2f} of keras" if row.ratio_to_plain else "" for row in rows]
    axes.bar_label(bars, ratios, padding=3)
    axes.margins(x=0.2)
    axes.invert_yaxis()
    axes.set_xlabel("seconds a step, median")
    return figure


if __name__ == "__main__":
    options = [METHODS, ROUNDS, CLASSES, THREADS, JSON, PLOT]
    cli.run(main, doc=__doc__, groups={"Benchmark": options, **train_flags.GROUPS})

"""Times the training steps of methods beside stock Keras's, and says what they cost.

Usage: python -m gdw_tf.benchmark [--methods=keras,ce,mw_net,gdw] [--rounds=30]
       [--sweep=classes=10,100,1000] [flags of gdw_tf.train]

Steps are taken in turn in one process, one of each method and again from the first, so that what
slows the machine down slows all of them; medians are printed, and their ratio to `keras`: the same
network with Keras's own layers, optimizer and `fit`. A method may have flags of its own, as in
--methods=keras,gdw,gdw:virtual_scope=last_stage. Images are random; by default ResNet-32 takes 32 x
32 pixels in batches of 100 and, from the meta set, 100 more. Peak memory is that of a process of
its own for each method, TensorFlow included. The bound is the time that the floating-point
operations of a step would take at the rate of a large matrix product on this machine.

--sweep times all of that for several values of a flag, such as --sweep=batch_size=25,100,400,
--sweep=network=resnet8,resnet32,resnet56 or --sweep=classes=10,100,1000.
"""

from __future__ import annotations

import concurrent.futures
import dataclasses
import json
import multiprocessing
import shlex
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import keras
import numpy as np
import tensorflow as tf
from absl import flags
from tensorflow.python.framework.ops import get_stats_for_node_def

from gdw_tf import cli, copies, data, experiment, memory, train_flags
from gdw_tf.batch_normalization import BatchNormalization
from gdw_tf.checks import check_file
from gdw_tf.comparison import WITHOUT_RUNS, Contender
from gdw_tf.comparison_flags import METHODS, methods_or
from gdw_tf.data.figures import check_matplotlib
from gdw_tf.methods.meta import MetaMethod
from gdw_tf.provenance import made_by
from gdw_tf.results import markdown_table, markdown_text
from gdw_tf.settings import Settings

if TYPE_CHECKING:
    from matplotlib.figure import Figure

STOCK = "keras"
ROUNDS = flags.DEFINE_integer("rounds", 30, "Steps of each method to time.", lower_bound=1)
CLASSES = flags.DEFINE_integer("classes", 10, "Number of classes.", lower_bound=2)
SWEEP = flags.DEFINE_string(
    "sweep", None, "NAME=V1,V2,...: values of a flag of training, or of classes, to time."
)
THREADS = flags.DEFINE_integer("threads", None, "Threads; default one a core.", lower_bound=1)
JSON = cli.define_path("json", None, "File to write the rows to, as a list.")
PLOT = cli.define_path("plot", None, "Picture to write.")

WARM_UP = 3  # steps that are not timed: the first is traced, the next ones find their memory
MEMORY_STEPS = 5
MATRIX_SIDE = 2048
PRODUCTS = ("Conv", "Depthwise", "MatMul", "BatchMatMul")
"""How the names of TensorFlow's convolutions and matrix products begin."""


@dataclasses.dataclass(frozen=True)
class Platform:
    """What a step is compiled for and run with.

    Attributes:
        threads: of TensorFlow; `None` for one a core.
        jit: `"auto"`, `"on"` or `"off"`.
    """

    threads: int | None
    jit: str


@dataclasses.dataclass(frozen=True)
class Case:
    """Steps to time.

    Attributes:
        method: as it was given.
        settings: of the training whose steps they are.
        classes: number of classes.
        sweep: the value of the sweep, `NAME=VALUE`; empty without one.
    """

    method: str
    settings: Settings
    classes: int
    sweep: str = ""

    @property
    def is_stock(self) -> bool:
        """Whether they are stock Keras's."""
        return self.method == STOCK


@dataclasses.dataclass(frozen=True)
class Row:
    """What a step of one method costs.

    Attributes:
        method: as it was given.
        sweep: the value of the sweep, `NAME=VALUE`; empty without one.
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
    sweep: str
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
        cli.check_all_flags(argv)
        if PLOT.value:
            check_matplotlib()
        for flag in (JSON, PLOT):
            if flag.value:
                check_file(flag.name, Path(flag.value))
        names = methods_or([STOCK, "ce", "mw_net", "gdw"])
        if not names:
            raise ValueError("methods must name one or more. Received: methods=")
        cases = cases_of(names, SWEEP.value, CLASSES.value)
        for case in cases:
            check_size(case)
        platform = Platform(THREADS.value, train_flags.JIT.value)
        prepare(platform)
        # First, because a process begins with the peak memory of the one that started it.
        peaks = [peak_memory(case, platform) for case in cases]
    steps = [Step(case, platform) for case in cases]
    seconds = median_seconds(steps, ROUNDS.value)
    medians = list(zip(cases, seconds, strict=True))
    of_stock = {case.sweep: median for case, median in medians if case.is_stock}
    rates = {
        precision: matrix_product_rate(precision)
        for precision in {case.settings.precision for case in cases}
    }
    rows = []
    for case, step, median, peak in zip(cases, steps, seconds, peaks, strict=True):
        operations, rate = step.floating_point_operations(), rates[case.settings.precision]
        rows.append(
            Row(
                method=case.method,
                sweep=case.sweep,
                meta_gradient=step.meta_gradient,
                median_step_seconds=median,
                ratio_to_plain=median / of_stock[case.sweep] if of_stock else None,
                images_per_second=case.settings.batch_size / median,
                peak_memory_bytes=peak,
                floating_point_operations=operations,
                share_of_bound=operations / rate / median if operations is not None else None,
            )
        )
    print(markdown(rows, ROUNDS.value, platform, CLASSES.value))
    for flag in (JSON, PLOT):
        if flag.value:
            Path(flag.value).parent.mkdir(parents=True, exist_ok=True)
    if JSON.value:
        Path(JSON.value).write_text(json.dumps([dataclasses.asdict(row) for row in rows], indent=1))
    if PLOT.value:
        picture(rows).savefig(PLOT.value, dpi=100)


def cases_of(names: Sequence[str], sweep: str | None, classes: int) -> list[Case]:
    """The steps to time: of every method for every value of the sweep.

    Raises:
        ValueError: there is no such method, or it takes no steps; a sweep that cannot be read.
        flags.Error: a value of the sweep cannot be read.
    """
    if not sweep:
        return [Case(name, settings_of(name), classes) for name in names]
    flag, _, values = sweep.partition("=")
    swept = {field.name for field in dataclasses.fields(Settings)} - {"method", "seed"}
    if flag not in {"classes", *swept} or not values:
        raise ValueError(
            f"sweep must be NAME=V1,V2,... Received: sweep={sweep}; allowed: classes, or a setting "
            "of training but method and seed, as in batch_size=25,100,400."
        )
    if flag == "classes":
        if not all(value.isdecimal() and int(value) >= 2 for value in values.split(",")):
            raise ValueError(f"classes must be numbers from 2 on. Received: sweep={sweep}")
        return [
            Case(name, settings_of(name), int(value), f"classes={value}")
            for value in values.split(",")
            for name in names
        ]
    return [
        Case(name, settings_of(name, f"{flag}={value}"), classes, f"{flag}={value}")
        for value in values.split(",")
        for name in names
    ]


def settings_of(name: str, *assignments: str) -> Settings:
    """The settings of a method by its name, those of CIFAR-10 where nothing else is said.

    Args:
        name: the method's, with flags of its own, or `STOCK`.
        *assignments: flags beside the command line's, `NAME=VALUE`.

    Raises:
        ValueError: there is no such method, or it takes no steps.
    """
    contender = Contender.parse("ce" if name == STOCK else name)
    if contender.method in WITHOUT_RUNS:
        raise ValueError(f"methods names one that takes no steps of its own. Received: {name}")
    dataset = () if flags.FLAGS["dataset"].present else ("dataset=cifar10",)
    return contender.settings("0", (*dataset, *assignments))


def check_size(case: Case) -> None:
    """Checks that the training set fills a batch.

    Raises:
        ValueError: the settings leave fewer images.
    """
    settings = case.settings
    noisy = experiment.prepare_data(settings, random_source(settings, case.classes))
    if len(noisy.y_train) < settings.batch_size:
        raise ValueError(
            "The settings leave less than a batch to train on. Received: "
            f"{len(noisy.y_train)} images; allowed: batch_size={settings.batch_size} or more."
        )


def prepare(platform: Platform) -> None:
    """Sets TensorFlow's threads for this process."""
    if platform.threads:
        tf.config.threading.set_intra_op_parallelism_threads(platform.threads)
        tf.config.threading.set_inter_op_parallelism_threads(platform.threads)


class Step:
    """Training steps, as `fit` takes them, always on the same random batches.

    Args:
        case: which.
        platform: what to compile them for.

    Attributes:
        meta_gradient: see `Row`.
    """

    def __init__(self, case: Case, platform: Platform) -> None:
        settings = case.settings
        source = random_source(settings, case.classes)
        noisy = experiment.prepare_data(settings, source)
        streams = experiment.batch_streams(settings, source, noisy, initial_epoch=0)
        pair = next(iter(tf.data.Dataset.zip(streams)))
        model = experiment.build_model(settings, source, noisy)
        self.meta_gradient = "none"
        self._steps_per_round = 1
        if case.is_stock:
            model, pair = stock(model.classifier, settings), pair[0][:2]
        elif isinstance(model, MetaMethod):
            self.meta_gradient = meta_gradient(settings)
            self._steps_per_round = settings.meta_every
        experiment.set_jit(model, platform.jit)
        if not case.is_stock:
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
        if self._steps_per_round > 1 or getattr(self._model, "one_replica_because", ""):
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

    model = copies.clone(classifier, keras_layer, recursive=True)
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


def median_seconds(steps: Sequence[Step], rounds: int) -> list[float]:
    """Takes steps in turn, one of each kind a round, and answers each one's median time."""
    times = [[step.seconds() for step in steps] for _ in range(WARM_UP + rounds)]
    return np.median(times[WARM_UP:], axis=0).tolist()


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


def peak_memory(case: Case, platform: Platform) -> int:
    """Peak memory in bytes of a process that takes a few steps."""
    context = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(1, context) as pool:
        return pool.submit(_peak_memory_here, case, platform).result()


def _peak_memory_here(case: Case, platform: Platform) -> int:
    prepare(platform)
    step = Step(case, platform)
    for _ in range(MEMORY_STEPS):
        step.seconds()
    return memory.peak_memory()


def markdown(rows: Sequence[Row], rounds: int, platform: Platform, classes: int) -> str:
    """The table, with what it was made by."""
    head = ["method", "meta gradient", "seconds a step", "of keras", "images a second"]
    head += ["peak MiB", "GFLOP a step", "of the bound"]
    cells = []
    for row in rows:
        operations, share = row.floating_point_operations, row.share_of_bound
        of_row = [
            markdown_text(f"{row.method}, {row.sweep}" if row.sweep else row.method),
            row.meta_gradient,
            f"{row.median_step_seconds:.4f}",
            f"{row.ratio_to_plain:.2f}" if row.ratio_to_plain else "",
            f"{row.images_per_second:.0f}",
            f"{row.peak_memory_bytes / 2**20:.0f}",
            f"{operations / 1e9:.1f}" if operations is not None else "",
            f"{share:.0%}" if share is not None else "",
        ]
        cells.append(of_row)
    threads = platform.threads or "one a core"
    lines = [
        *markdown_table(head, cells),
        "",
        f"Medians of {rounds} steps, taken in turn; threads: {threads}; jit: {platform.jit}; "
        f"{classes} classes unless said otherwise. {made_by()}",
        "",
        f"    python -m gdw_tf.benchmark {shlex.join(sys.argv[1:])}",
    ]
    return "\n".join(lines)


def picture(rows: Sequence[Row]) -> Figure:
    """Draws the time of a step of each method, over the values of a sweep where there is one."""
    from matplotlib.figure import Figure

    if rows[0].sweep:
        figure = Figure(figsize=(7, 4), layout="constrained")
        axes = figure.subplots()
        for method in dict.fromkeys(row.method for row in rows):
            own = [row for row in rows if row.method == method]
            values = [row.sweep.partition("=")[2] for row in own]
            axes.plot(values, [row.median_step_seconds for row in own], "o-", label=method)
        axes.set(xlabel=rows[0].sweep.partition("=")[0], ylabel="seconds a step, median", ylim=0)
        axes.legend()
        return figure
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


def run() -> None:
    """Runs the program, as the console script `gdw-benchmark` does."""
    options = [METHODS, ROUNDS, CLASSES, SWEEP, THREADS, JSON, PLOT]
    cli.run(main, doc=__doc__, groups={"Benchmark": options, **train_flags.GROUPS})


if __name__ == "__main__":
    run()

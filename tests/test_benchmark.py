"""What a step costs: counted against the arithmetic of a network, and by a clock that is known."""

from __future__ import annotations

import keras
import pytest

import gdw_tf
from gdw_tf import benchmark, provenance
from gdw_tf.settings import resolve

PLATFORM = benchmark.Platform(threads=None, jit="off")
SMALL = {
    "dataset": "cifar10",
    "network": "small_cnn_without_dropout",
    "batch_size": 6,
    "meta_batch_size": 6,
    "num_meta": 10,
    "image_size": (8, 8),
}


def step(name: str, **changes) -> benchmark.Step:
    method = "ce" if name == benchmark.STOCK else name
    settings = resolve(**SMALL | changes, method=method)
    return benchmark.Step(benchmark.Case(name, settings, classes=10), PLATFORM)


def forward_operations(batch: int) -> tuple[int, int]:
    """Multiplications and additions of the first layer, and of all others."""
    first = 2 * batch * 64 * 9 * 3 * 32
    return first, 2 * batch * (64 * 9 * 32 * 32 + 16 * 32 * 64 + 64 * 10)


@pytest.mark.parametrize("name", [benchmark.STOCK, "ce"])
def test_plain_training_has_three_products_a_layer(name):
    # The images' own gradient is not needed: two for the first layer.
    first, others = forward_operations(6)
    assert step(name).floating_point_operations() == pytest.approx(2 * first + 3 * others, rel=0.01)


def test_a_meta_step_has_ten_products_a_layer():
    # 1 forward, 2 back for the virtual and 2 for the actual step, 3 on the meta batch, and 2 of the
    # Jacobian-vector product; of the first layer the images' gradients and tangents are not needed.
    first, others = forward_operations(6)
    counted = step("gdw").floating_point_operations()
    assert counted == pytest.approx(6 * first + 10 * others, rel=0.01)


@pytest.mark.parametrize("method, options", [("gdw", {"meta_every": 2}), ("fine_tune", {})])
def test_steps_of_two_kinds_are_not_counted(method, options):
    assert step(method, **options).floating_point_operations() is None


@pytest.mark.parametrize(
    "options, name",
    [
        ({}, "exact"),
        ({"meta_every": 3}, "meta_every=3"),
        ({"virtual_scope": "head", "meta_every": 2}, "meta_every=2, virtual_scope=head"),
    ],
)
def test_choices_of_meta_gradient_have_names(options, name):
    assert benchmark.meta_gradient(resolve(**options)) == name


def test_medians_are_of_steps_taken_in_turn():
    taken = []

    class Fake:
        def __init__(self, name: str, times: list[float]) -> None:
            self.name, self.times = name, [1000.0] * benchmark.WARM_UP + times

        def seconds(self) -> float:
            taken.append(self.name)
            return self.times.pop(0)

    steps = [Fake("a", [1.0, 9.0, 2.0]), Fake("b", [5.0, 4.0, 3.0])]
    assert benchmark.median_seconds(steps, 3) == [2.0, 4.0]
    assert "".join(taken) == "ab" * (benchmark.WARM_UP + 3)


def test_a_round_of_a_rare_meta_gradient_holds_one_of_them(monkeypatch):
    rare = step("gdw", meta_every=3)
    before = int(rare._model.steps_taken.value)
    rare.seconds()
    assert int(rare._model.steps_taken.value) == before + 3


def test_stock_keras_has_the_layers_and_the_optimizer_of_keras():
    model = step(benchmark.STOCK, network="resnet8")._model
    kinds = {type(layer) for layer in model._flatten_layers()}
    assert keras.layers.BatchNormalization in kinds
    assert gdw_tf.BatchNormalization not in kinds
    assert isinstance(model.optimizer, keras.optimizers.SGD)


def row(**changes) -> benchmark.Row:
    values = {
        "method": "gdw",
        "sweep": "",
        "meta_gradient": "exact",
        "median_step_seconds": 0.5,
        "ratio_to_plain": 2.5,
        "images_per_second": 200.0,
        "peak_memory_bytes": 3 * 2**30,
        "floating_point_operations": 21_000_000_000,
        "share_of_bound": 0.42,
    }
    return benchmark.Row(**values | changes)


def test_table():
    lines = benchmark.markdown(
        [
            row(),
            row(
                method="ce",
                ratio_to_plain=None,
                floating_point_operations=None,
                share_of_bound=None,
            ),
        ],
        30,
        PLATFORM,
        10,
    ).splitlines()
    assert lines[2] == "| gdw | exact | 0.5000 | 2.50 | 200 | 3072 | 21.0 | 42% |"
    assert lines[3] == "| ce | exact | 0.5000 |  | 200 | 3072 |  |  |"
    assert provenance.made_by() in lines[5]


def test_picture_of_a_sweep_has_a_line_for_each_method():
    rows = [
        row(method=method, sweep=f"classes={classes}", median_step_seconds=seconds)
        for method, seconds in (("gdw", 0.5), ("keras", 0.2))
        for classes in (10, 100)
    ]
    axes = benchmark.picture(rows).axes[0]
    assert [line.get_ydata().tolist() for line in axes.lines] == [[0.5, 0.5], [0.2, 0.2]]
    assert axes.get_xlabel() == "classes"


def test_picture_has_a_bar_for_each_method():
    axes = benchmark.picture([row(), row(method="ce", ratio_to_plain=1.0)]).axes[0]
    assert [bar.get_width() for bar in axes.patches] == [0.5, 0.5]
    assert [text.get_text() for text in axes.texts] == ["2.50 of keras", "1.00 of keras"]

"""What stands in TensorBoard's events beside Keras's scalars."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

import gdw_tf
from gdw_tf.callbacks import TensorBoard, tensorboard
from gdw_tf.data import NoisyData

N, C = 12, 3
GENERATOR = np.random.default_rng(0)
IMAGES = GENERATOR.integers(0, 256, (N, 4, 4, 1), dtype=np.uint8)
TRUE = np.arange(N) % C
GIVEN = np.where(np.arange(N) < 4, (TRUE + 1) % C, TRUE)
META = IMAGES[:6] // 2, TRUE[:6]


def noisy_data() -> NoisyData:
    return NoisyData(
        *(IMAGES, GIVEN, TRUE, *META, TRUE[:6], IMAGES, TRUE),
        num_classes=C,
        class_names=("cat", "dog", "cow"),
        transition_matrix=np.eye(C),
    )


def trained(board, method=gdw_tf.GDW, epochs=2, record=True, callbacks=()):
    keras.utils.set_random_seed(0)
    layers = [keras.Input((4, 4, 1)), keras.layers.Rescaling(1 / 255), keras.layers.Flatten()]
    model = method(keras.Sequential([*layers, keras.layers.Dense(C)]))
    model.compile(optimizer=gdw_tf.CoupledSGD(0.1), record_examples=record)
    model.fit(
        IMAGES,
        GIVEN,
        meta_data=META,
        batch_size=4,
        epochs=epochs,
        callbacks=[*callbacks, board],
        verbose=0,
    )
    return model


def events(root) -> dict[tuple[str, int], tf.Tensor]:
    """What the training's events hold, by tag and step."""
    found = {}
    for path in sorted((root / "train").glob("events*")):
        for event in tf.compat.v1.train.summary_iterator(str(path)):
            for value in event.summary.value:
                found[value.tag, event.step] = value
    return found


def images(value) -> list[np.ndarray]:
    """The images of a summary; its first two numbers are their width and height."""
    return [tf.io.decode_png(one).numpy() for one in tf.make_ndarray(value.tensor)[2:]]


def test_every_epoch_has_what_its_visits_were_given(tmp_path):
    sums = [np.zeros((N, 1 + 2 * C))]

    def note(epoch, logs):
        sums.append(np.array(board.model.example_record))

    board = TensorBoard(str(tmp_path), noisy_data())
    noted = keras.callbacks.LambdaCallback(on_epoch_end=note)
    trained(board, epochs=3, callbacks=[noted])
    found = events(tmp_path)
    for epoch in range(3):
        weights = (sums[epoch + 1] - sums[epoch])[:, 1 + C :]  # of one visit each
        on_given = weights[np.arange(N), GIVEN]
        for tag, values in (
            ("weights/on_given_labels", on_given),
            ("weights/of_examples", weights.mean(axis=1)),
        ):
            buckets = tf.make_ndarray(found[tag, epoch].tensor)  # left, right, count
            assert buckets[:, 2].sum() == N
            assert buckets[0, 0] == pytest.approx(values.min(), rel=1e-5)
            assert buckets[-1, 1] == pytest.approx(values.max(), rel=1e-5)

        means = np.stack([weights[label == GIVEN].mean(axis=0) for label in range(C)])
        (picture,) = images(found["weights/by_given_label_and_class", epoch])
        cells = picture[4::8, 4::8, 0]
        np.testing.assert_allclose(cells, 255 * means / means.max(), atol=1)

        order = np.argsort(on_given, kind="stable")
        for name, chosen in (("smallest", order[:8]), ("largest", order[::-1][:8])):
            value = found[f"examples/{name}_weights", epoch]
            scale = 255 / IMAGES[chosen].max()
            for seen, expected in zip(images(value), IMAGES[chosen], strict=True):
                np.testing.assert_allclose(seen, scale * expected.astype(float), atol=1)
            names = ("cat", "dog", "cow")
            said = [
                names[GIVEN[one]] + (f" (is {names[TRUE[one]]})" if one < 4 else "")
                for one in chosen
            ]
            assert value.metadata.summary_description == f"labels given: {', '.join(said)}"


@pytest.mark.parametrize(
    ("method", "record"), [(gdw_tf.CE, True), (gdw_tf.GDW, False)], ids=["no weights", "no record"]
)
def test_without_recorded_weights_there_are_scalars_only(method, record, tmp_path):
    trained(TensorBoard(str(tmp_path), noisy_data()), method, epochs=1, record=record)
    assert {tag.split("_")[0] for tag, _ in events(tmp_path)} == {"epoch"}


def test_of_many_examples_evenly_spaced_ones_are_looked_at(tmp_path, monkeypatch):
    monkeypatch.setattr(tensorboard, "MOST_NUMBERS", 5 * (1 + C))
    trained(TensorBoard(str(tmp_path), noisy_data()), epochs=1)
    buckets = tf.make_ndarray(events(tmp_path)["weights/on_given_labels", 0].tensor)
    assert buckets[:, 2].sum() == 5


def test_the_graph_of_a_step_is_written_if_asked_for(tmp_path):
    def plugins(root, **options):
        trained(TensorBoard(str(root), **options), epochs=1)
        found = events(root)
        return {value.metadata.plugin_data.plugin_name for value in found.values()}, found

    without, _ = plugins(tmp_path / "without")
    assert without == {"scalars"}
    kinds, found = plugins(tmp_path / "with", write_graph=True)
    assert kinds == {"scalars", "graph_run_metadata_graph"}
    (written,) = (value for (tag, _), value in found.items() if tag == "training_step")
    assert len(tf.make_ndarray(written.tensor).item()) > 1000


def test_steps_are_profiled_if_asked_for(tmp_path):
    trained(TensorBoard(str(tmp_path), profile_batch=(2, 3)), epochs=1)
    assert list((tmp_path / "train" / "plugins" / "profile").rglob("*.xplane.pb"))

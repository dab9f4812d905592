from __future__ import annotations

import keras
import numpy as np
import pytest

from gdw_tf.networks.resnet import CIFAR_DEPTHS, SubsamplingShortcut, cifar_resnet, resnet18


def convolution(x: np.ndarray, kernel: np.ndarray, strides: int) -> np.ndarray:
    """Cross-correlation of x (B, H, W, I), padded by kernel size // 2 on every side."""
    size = kernel.shape[0]
    margin = size // 2
    padded = np.pad(x, ((0, 0), (margin, margin), (margin, margin), (0, 0)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (size, size), axis=(1, 2))
    return np.einsum("bhwiyx,yxio->bhwo", windows[:, ::strides, ::strides], kernel, optimize=True)


def option_a(x: np.ndarray, filters: int) -> np.ndarray:
    answer = np.zeros((len(x), (x.shape[1] + 1) // 2, (x.shape[2] + 1) // 2, filters))
    before = (filters - x.shape[-1]) // 2
    answer[..., before : before + x.shape[-1]] = x[:, ::2, ::2]
    return answer


class InNumPy:
    """The forward pass in inference mode, from the network's weights and nothing else of it."""

    def __init__(self, network: keras.Model) -> None:
        self.weights = {weight.path: np.asarray(weight, "float64") for weight in network.weights}

    def unit(self, x: np.ndarray, name: str, strides: int = 1) -> np.ndarray:
        x = convolution(x, self.weights[f"{name}_convolution/kernel"], strides)
        gamma, beta, mean, variance = (
            self.weights[f"{name}_normalization/{part}"]
            for part in ("gamma", "beta", "moving_mean", "moving_variance")
        )
        return gamma * (x - mean) / np.sqrt(variance + 1e-5) + beta

    def stages(self, x: np.ndarray, filters_by_stage: tuple[int, ...], blocks: int) -> np.ndarray:
        for stage, filters in enumerate(filters_by_stage, start=1):
            for block in range(1, blocks + 1):
                name = f"stage{stage}_block{block}"
                strides = 2 if stage > 1 and block == 1 else 1
                residual = np.maximum(self.unit(x, f"{name}_1", strides), 0)
                residual = self.unit(residual, f"{name}_2")
                if f"{name}_shortcut_convolution/kernel" in self.weights:
                    x = self.unit(x, f"{name}_shortcut", strides)
                elif strides == 2:
                    x = option_a(x, filters)
                x = np.maximum(x + residual, 0)
        return x

    def logits(self, x: np.ndarray) -> np.ndarray:
        features = x.mean(axis=(1, 2))
        return features @ self.weights["logits/kernel"] + self.weights["logits/bias"]

    def cifar_resnet(self, x: np.ndarray, blocks: int) -> np.ndarray:
        x = np.maximum(self.unit(x, "stem"), 0)
        return self.logits(self.stages(x, (16, 32, 64), blocks))

    def resnet18(self, x: np.ndarray) -> np.ndarray:
        x = np.maximum(self.unit(x, "stem", strides=2), 0)
        padded = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)), constant_values=-np.inf)
        windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(1, 2))
        x = windows[:, ::2, ::2].max(axis=(-2, -1))
        return self.logits(self.stages(x, (64, 128, 256, 512), 2))


def randomize(network: keras.Model) -> None:
    """Moves normalisation, whose initial values are neutral, and the biases away from them."""
    generator = np.random.default_rng(0)
    for weight in network.weights:
        if weight.path.endswith("kernel"):
            continue
        weight.assign(generator.uniform(0.5, 1.5, weight.shape))


@pytest.mark.parametrize("image_shape", [(8, 8, 3), (7, 10, 1)])
def test_cifar_resnet_is_the_network_of_the_paper(image_shape):
    network = cifar_resnet(14, 5, image_shape)
    randomize(network)
    images = np.random.default_rng(1).normal(size=(3, *image_shape))

    expected = InNumPy(network).cifar_resnet(images, blocks=2)

    np.testing.assert_allclose(network(images), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("image_shape", [(32, 32, 3), (41, 36, 3)])
def test_resnet18_is_the_network_of_the_paper(image_shape):
    network = resnet18(5, image_shape)
    randomize(network)
    images = np.random.default_rng(1).normal(size=(2, *image_shape))

    expected = InNumPy(network).resnet18(images)

    np.testing.assert_allclose(network(images), expected, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("side", [6, 7])
def test_a_convolution_with_stride_2_is_padded_on_every_side(side):
    network = cifar_resnet(8, 2, (side, side, 3))
    before = network.get_layer("stage1_block1_relu").output
    convolved = network.get_layer("stage2_block1_1_convolution")
    images = np.random.default_rng(2).normal(size=(2, side, side, 3))

    x, answer = keras.Model(network.input, [before, convolved.output])(images)

    expected = convolution(np.asarray(x), np.asarray(convolved.kernel), strides=2)
    np.testing.assert_allclose(answer, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("channels, filters, before", [(2, 4, 1), (1, 4, 1), (3, 3, 0)])
def test_shortcut_takes_every_second_pixel_and_pads_the_channels(channels, filters, before):
    x = np.random.default_rng(3).normal(size=(2, 5, 4, channels)).astype("float32")

    answer = np.asarray(SubsamplingShortcut(filters)(x))

    assert answer.shape == (2, 3, 2, filters)
    np.testing.assert_array_equal(answer[..., before : before + channels], x[:, ::2, ::2])
    assert np.count_nonzero(answer) == np.count_nonzero(x[:, ::2, ::2])


def test_shortcut_refuses_to_remove_channels():
    with pytest.raises(ValueError, match=r"Received: 3 channels, filters=2\."):
        SubsamplingShortcut(2)(np.zeros((1, 4, 4, 3), "float32"))


def cifar_parameters(depth: int, num_classes: int) -> int:
    """Closed form: 6n convolutions, a normalisation after each, the stem and the classifier."""
    n = (depth - 2) // 6
    stem = 9 * 3 * 16 + 2 * 16
    equal = {width: 9 * width * width + 2 * width for width in (16, 32, 64)}
    growing = {width: 9 * (width // 2) * width + 2 * width for width in (32, 64)}
    stages = 2 * n * equal[16] + sum(growing[w] + (2 * n - 1) * equal[w] for w in (32, 64))
    return stem + stages + 64 * num_classes + num_classes


@pytest.mark.parametrize("depth", CIFAR_DEPTHS)
def test_parameters_of_the_cifar_networks(depth):
    network = cifar_resnet(depth, 10)

    trainable = sum(weight.shape.num_elements() for weight in network.trainable_variables)

    assert trainable == cifar_parameters(depth, 10)


@pytest.mark.parametrize("depth, millions", [(20, 0.27), (32, 0.46), (44, 0.66), (56, 0.85)])
def test_closed_form_is_what_he_et_al_print(depth, millions):
    assert round(cifar_parameters(depth, 10) / 1e6, 2) == millions


def test_parameters_of_resnet18():
    network = resnet18(1000)

    trainable = sum(weight.shape.num_elements() for weight in network.trainable_variables)

    assert trainable == 11_689_512


def test_trainable_variables_stand_in_the_order_of_the_layers():
    network = cifar_resnet(14, 7)

    convolutions = ["stem"]
    shapes = [(3, 3, 3, 16)]
    channels = 16
    for stage, filters in enumerate((16, 32, 64), start=1):
        for block in (1, 2):
            convolutions += [f"stage{stage}_block{block}_1", f"stage{stage}_block{block}_2"]
            shapes += [(3, 3, channels, filters), (3, 3, filters, filters)]
            channels = filters
    expected = []
    for name, shape in zip(convolutions, shapes, strict=True):
        expected.append((f"{name}_convolution/kernel", shape))
        expected.append((f"{name}_normalization/gamma", shape[-1:]))
        expected.append((f"{name}_normalization/beta", shape[-1:]))
    expected += [("logits/kernel", (64, 7)), ("logits/bias", (7,))]
    variables = [(weight.path, tuple(weight.shape)) for weight in network.trainable_variables]
    assert variables == expected


@pytest.mark.parametrize("depth", [0, 2, 18, 31, "32"])
def test_unknown_depth(depth):
    with pytest.raises(ValueError, match=rf"Received: depth={depth!r}; allowed: 6 n \+ 2"):
        cifar_resnet(depth, 10)


def test_kernels_start_he_normal_and_not_truncated():
    keras.utils.set_random_seed(0)
    network = cifar_resnet(20, 100)
    kernels = [weight for weight in network.weights if weight.path.endswith("kernel")]

    standardized = []
    for kernel in kernels:
        values = np.asarray(kernel).ravel()
        fan_in = np.prod(kernel.shape[:-1])
        standardized.append(values / np.sqrt(2 / fan_in))
        # Four standard errors of a standard deviation.
        assert abs(np.std(standardized[-1]) - 1) < 4 / np.sqrt(2 * values.size), kernel.path
    # A normal distribution cut at two (rescaled to the same deviation) ends at 2.28.
    assert np.abs(np.concatenate(standardized)).max() > 4
    assert len({float(values[0]) for values in standardized}) == len(kernels)


def test_training_moves_the_moving_statistics_by_a_tenth():
    network = cifar_resnet(8, 2, (6, 6, 3))
    images = np.random.default_rng(4).normal(size=(5, 6, 6, 3))
    kernel = np.asarray(network.get_layer("stem_convolution").kernel)
    convolved = convolution(images, kernel, strides=1)

    network(images, training=True)

    normalization = network.get_layer("stem_normalization")
    np.testing.assert_allclose(
        normalization.moving_mean, 0.1 * convolved.mean(axis=(0, 1, 2)), rtol=1e-4, atol=1e-6
    )
    np.testing.assert_allclose(
        normalization.moving_variance, 0.9 + 0.1 * convolved.var(axis=(0, 1, 2)), rtol=1e-4
    )

"""Asymmetric noise: classes are taken for those that people take them for.

The convention is that of Patrini et al., "Making Deep Neural Networks Robust to Label Noise: A
Loss Correction Approach", CVPR 2017 (arXiv:1609.03683), which Zhang and Sabuncu, "Generalized
Cross Entropy Loss for Training Deep Neural Networks with Noisy Labels", NeurIPS 2018
(arXiv:1805.07836), and most later work follow:

- CIFAR-10: truck -> automobile, bird -> airplane, deer -> horse, cat <-> dog;
- CIFAR-100: each class -> the next one of its superclass, in a circle;
- digits (MNIST): 2 -> 7, 3 -> 8, 5 <-> 6, 7 -> 1.

The classes are known by their names, so the maps hold for every data set of these classes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from gdw_tf.checks import check_rate

_CIFAR10 = [
    "airplane",
    "automobile",
    "bird",
    "cat",
    "deer",
    "dog",
    "frog",
    "horse",
    "ship",
    "truck",
]
_DIGITS = list("0123456789")

CIFAR100_SUPERCLASSES: Mapping[str, tuple[str, ...]] = {
    "aquatic_mammals": ("beaver", "dolphin", "otter", "seal", "whale"),
    "fish": ("aquarium_fish", "flatfish", "ray", "shark", "trout"),
    "flowers": ("orchid", "poppy", "rose", "sunflower", "tulip"),
    "food_containers": ("bottle", "bowl", "can", "cup", "plate"),
    "fruit_and_vegetables": ("apple", "mushroom", "orange", "pear", "sweet_pepper"),
    "household_electrical_devices": ("clock", "keyboard", "lamp", "telephone", "television"),
    "household_furniture": ("bed", "chair", "couch", "table", "wardrobe"),
    "insects": ("bee", "beetle", "butterfly", "caterpillar", "cockroach"),
    "large_carnivores": ("bear", "leopard", "lion", "tiger", "wolf"),
    "large_man-made_outdoor_things": ("bridge", "castle", "house", "road", "skyscraper"),
    "large_natural_outdoor_scenes": ("cloud", "forest", "mountain", "plain", "sea"),
    "large_omnivores_and_herbivores": ("camel", "cattle", "chimpanzee", "elephant", "kangaroo"),
    "medium_mammals": ("fox", "porcupine", "possum", "raccoon", "skunk"),
    "non-insect_invertebrates": ("crab", "lobster", "snail", "spider", "worm"),
    "people": ("baby", "boy", "girl", "man", "woman"),
    "reptiles": ("crocodile", "dinosaur", "lizard", "snake", "turtle"),
    "small_mammals": ("hamster", "mouse", "rabbit", "shrew", "squirrel"),
    "trees": ("maple_tree", "oak_tree", "palm_tree", "pine_tree", "willow_tree"),
    "vehicles_1": ("bicycle", "bus", "motorcycle", "pickup_truck", "train"),
    "vehicles_2": ("lawn_mower", "rocket", "streetcar", "tank", "tractor"),
}
"""The 100 classes of CIFAR-100 under their 20 superclasses, in the order of their numbers.

Krizhevsky, "Learning Multiple Layers of Features from Tiny Images", 2009; the names are spelled
as by TensorFlow Datasets.
"""


def _same_but(classes: Sequence[str], mistakes: Mapping[str, str]) -> dict[str, str]:
    return {name: mistakes.get(name, name) for name in classes}


_MISTAKEN_FOR: Mapping[str, Mapping[str, str]] = {
    "cifar10": _same_but(
        _CIFAR10,
        {
            "truck": "automobile",
            "bird": "airplane",
            "deer": "horse",
            "cat": "dog",
            "dog": "cat",
        },
    ),
    "cifar100": {
        name: group[(place + 1) % len(group)]
        for group in CIFAR100_SUPERCLASSES.values()
        for place, name in enumerate(group)
    },
    "digits": _same_but(_DIGITS, {"2": "7", "3": "8", "5": "6", "6": "5", "7": "1"}),
}


def asymmetric_targets(class_names: Sequence[str]) -> np.ndarray:
    """Gives the class that each class is taken for under asymmetric noise.

    Args:
        class_names: The names of all C classes of CIFAR-10, CIFAR-100 or the digits, in any order.

    Returns:
        int64, shape (C,): indices into `class_names`; a class that is never mistaken has its own.

    Raises:
        ValueError: If these classes have no such convention.
    """
    names = tuple(class_names)
    for mistaken_for in _MISTAKEN_FOR.values():
        if len(names) == len(mistaken_for) and set(names) == set(mistaken_for):
            return np.array([names.index(mistaken_for[name]) for name in names], dtype=np.int64)
    shown = ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")
    raise ValueError(
        f"Asymmetric noise is not defined for these classes. Received: {len(names)} classes "
        f"({shown}); allowed: the classes of {', '.join(_MISTAKEN_FOR)}."
    )


def asymmetric_matrix(class_names: Sequence[str], rate: float) -> np.ndarray:
    """Makes the transition matrix of asymmetric noise.

    Args:
        class_names: As for `asymmetric_targets`.
        rate: Probability r that the label of a class which can be mistaken is replaced, 0 to 1.
            On balanced CIFAR-10 and digits, half of the classes can be.

    Returns:
        float64, shape (C, C): for a class that can be mistaken, 1 - r on the diagonal and r at the
        class that it is taken for; for the others, 1 on the diagonal.

    Raises:
        ValueError: If these classes have no such convention, or the rate is out of range.
    """
    check_rate("rate", rate)
    targets = asymmetric_targets(class_names)
    identity = np.eye(len(targets))
    return (1 - rate) * identity + rate * identity[targets]

"""Label noise: what is drawn as a value, the drawing as a pure function of it and of a generator.

Class-conditional label noise is described by a row-stochastic matrix T of shape (C, C): an image
of true class i is given label j with probability T[i, j]. Most kinds replace a label with
probability r, the noise rate, by one drawn from a distribution R[i] over the classes, so

    T = (1 - r) I + r R

and differ in R only:

kind          R[i] is spread over                                    share of wrong labels
uniform       all C classes, the true one too                        r - r/C
flip          one other class                                        r
flip2         two other classes                                      r
pair          the next class, i + 1 mod C                            r
asymmetric    the class that i is mistaken for, or i itself          r * (share of such images)

`matrix` is a T of your own. `instance` is no matrix: there the image decides what its label may
become (`gdw_tf.data.noise.instance`). Mind what a rate means: 40 % uniform noise on 10 classes
makes 36 % of the labels wrong, 40 % asymmetric noise on CIFAR-10 makes 20 % wrong. The share that
a training set really has is counted after the draw (`gdw_tf.data.noise.realised`).
"""

from gdw_tf.data.noise.instance import corrupt_by_instance
from gdw_tf.data.noise.kinds import KINDS, KINDS_WITHOUT_RATE, check_noise, transition_matrix
from gdw_tf.data.noise.matrices import (
    corrupt,
    flip2_targets,
    flip_matrix,
    flip_targets,
    pair_matrix,
    uniform_matrix,
)
from gdw_tf.data.noise.matrix_file import read_matrix
from gdw_tf.data.noise.mistakes import asymmetric_matrix, asymmetric_targets
from gdw_tf.data.noise.realised import TABLE_CLASSES, label_counts, matrix_text, row_shares

__all__ = [
    "KINDS",
    "KINDS_WITHOUT_RATE",
    "TABLE_CLASSES",
    "asymmetric_matrix",
    "asymmetric_targets",
    "check_noise",
    "corrupt",
    "corrupt_by_instance",
    "flip2_targets",
    "flip_matrix",
    "flip_targets",
    "label_counts",
    "matrix_text",
    "pair_matrix",
    "read_matrix",
    "row_shares",
    "transition_matrix",
    "uniform_matrix",
]

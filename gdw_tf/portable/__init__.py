"""Training as a portable program: exported here, run by JAX on any device, brought back.

    python -m gdw_tf.portable export [flags of gdw_tf.train] --out=DIR      TensorFlow
    python DIR/run.py                                                       NumPy and JAX alone
    python -m gdw_tf.portable import DIR --workdir=WORKDIR                  TensorFlow

See `docs/portable.md`.
"""

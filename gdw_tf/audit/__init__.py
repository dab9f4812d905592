"""Which labels of a training set are wrong, what they should be, and which to look at next.

ranking         the evidence of every example that its label is wrong: `rank` and `Audit`
meta_gradient   what the clean set says of every example at the end of the training
next_checks     the examples to verify next, the least decided ones
page            the audit as one HTML file, in which a person decides
sheet           the most suspicious examples as one picture
tables          the audit as CSV and JSON, and labels corrected by decisions
__main__        `python -m gdw_tf.audit WORKDIR`
"""

from gdw_tf.audit.next_checks import next_checks
from gdw_tf.audit.ranking import Audit, rank

__all__ = ["Audit", "next_checks", "rank"]

"""A page about runs: what they reached, what was learned on the way, and what made them.

    python -m gdw_tf.report WORKDIR [WORKDIR ...] --out=report.html

`runs` reads what a run left, `groups` puts runs together that differ in the seed only, `charts`
says in numbers what each figure shows, as the panels of `figures`; `svg` draws these for the page,
`png` with matplotlib; `page` puts text, tables and figures together.
"""

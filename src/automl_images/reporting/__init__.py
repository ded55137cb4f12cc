"""One self-contained page about a run, and its charts.

`report.py` is the front door. `charts.py` and `learning.py` decide what charts show, `svg.py` draws them for the page.
`trial_axes.py` compares the trials of a sweep; `sweep_panels.py` shows that on the page, `sweep_charts.py` by Plotly.
`sections.py` and `confusion.py` turn results into tables, `advice.py` into sentences, `command.py` into the command
that repeats the run. All show what the results hold and know no task. What the numbers mean is decided elsewhere:
`evaluation/`, `export/parity.py`, `data/`.
"""

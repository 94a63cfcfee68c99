"""A study in Python: from its folder to the questions it was made for. A test runs this file.

$ pip install duckdb
$ python docs/analysis.py results/digits
"""

from __future__ import annotations

import sys

import duckdb

import autogan_ray as ag
from autogan_ray.base.errors import ResultsError

study = ag.load_study(sys.argv[1])

# Tables are pandas DataFrames: study.trials, history, decisions, genotypes, evaluations, curves, studies.
print(study.name, study.state, len(study.trials), "trials")

# Settings, compared where ASHA has stopped no trial yet: geometric mean, 95 % interval, number of trials.
print(study.compare(by="space"))

# Which settings explain the scores, beside what noise would; which trials are beaten by no other in score and cost.
print(study.importance())
print(study.pareto("fid", "macs_g")[["trial_id", "fid_best", "macs_g"]])

# Which operations the better third chose, beside the rest and chance; trials that decided nothing are left out.
operations = study.operation_frequency(by="operation")
print(operations.sort_values("better", ascending=False).head())

# Does the score while searching rank what retraining makes of it? Kendall's tau with its interval.
tau = study.rank_correlation()
print(f"tau {tau.estimate:.2f} ({tau.low:.2f} to {tau.high:.2f}), {tau.n} trials")

# What ASHA saved.
print(f"{study.savings().share:.0%} of the evaluations")

# The verdict: searched against random genotypes, both retrained from scratch.
try:
    print(study.verdict(against="random"))
except ResultsError as error:
    print(error)

# The files are plain Parquet: DuckDB asks them in SQL.
print(
    duckdb.sql(
        f"SELECT space, count(*) AS trials, exp(avg(ln(fid_first_rung))) AS fid FROM '{study.folder}/trials.parquet' "
        "GROUP BY space ORDER BY fid"
    ).df()
)

# The report's figures, on matplotlib axes.
study.plot_history().figure.savefig("history.svg")
study.plot_compare("space").figure.savefig("space.svg")

"""The judge: `judge(evidence, slos) -> Judgement`. Pure: values in, value out; no clock, no client, no file.

windows     the stretches of a run
rows        request tables as columns, and the arrivals that are missing
facts       what many objectives need, worked out once
requests    ratios of requests          recovery   recovery time at the user
phases      the steps of a recovery     attribution whose failures they are
counters    Prometheus, raw samples     ledger     what each key may hold
scaling     instances added after a load step
reactions   alerts, gauges after a fault, primaries
gauges      shares of time              loss       acknowledged operations
bounds      exact binomial bounds       decide     counts or interval → verdict, in words
budget      slices and budgets          composite  several objectives as one
across      many runs together          burn_rate  alerts on how fast a budget is spent
validity    was this the run that was declared
verdict     one word and one sentence
explain     from a verdict down to its rows    shown    the rows of each kind of indicator
beside      two runs: what changed beyond noise
rules       every rule by name and number    again       a judgement beside an earlier one
indicators/ one judge for each kind of indicator: a new kind is a model in harness.model.slo and a file there
"""

from harness.judge.objectives import judge, selectors

__all__ = ["judge", "selectors"]

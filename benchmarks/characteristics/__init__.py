"""How often the judge errs: streams with known truth, judged by the judge's own functions."""

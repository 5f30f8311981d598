"""Tests that may be looked at all the time: their promise holds at any stopping time. docs/concepts/sequential.md.

rate.py    a confidence sequence for one rate
canary.py  e-processes: is the canary worse than the baseline, or good enough?
record.py  what the users' record says of both, block by block
watch.py   all criteria together, and the word
"""

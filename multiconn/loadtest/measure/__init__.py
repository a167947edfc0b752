"""MEASURE: how did every request end, and how are the generator and its machine doing?

Start reading at `measure.ledger` (the accounting) and `measure.histogram`; `measure.intervals` has the intervals that a
run consists of.
"""

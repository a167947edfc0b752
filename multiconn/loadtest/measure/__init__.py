"""MEASURE: what became of every request, and how are the generator and its machine doing?

Start reading at `measure.stats` (the books) and `measure.histogram`; `measure.progress` has the intervals that a run is
cut into.
"""

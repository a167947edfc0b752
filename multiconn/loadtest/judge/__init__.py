"""JUDGE: may the figures be believed, are they good enough, and is one server slower than another?

Start reading at `judge.verdict`; then `judge.thresholds`, and `judge.bootstrap` with `judge.compare`.
"""

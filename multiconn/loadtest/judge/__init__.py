"""JUDGE: are the figures valid, are they good enough, and is one server slower than another?

Pure: no clock, no socket, no file; chance is passed in. Start reading at `judge.verdict`; then `judge.thresholds`, and
`judge.bootstrap` with `judge.compare`.
"""

"""OUTPUT: where do the figures go?

`output.records` is the one format of intervals: in files (`output.files`), for the dashboard (`output.live`,
`output.dashboard`), and for what is made of saved runs (`output.page`, `output.comparison`). `output.report` is the
screen at the end.
"""

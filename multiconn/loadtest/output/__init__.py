"""OUTPUT: where do the figures go?

To a person as they come (`output.live`) and at the end (`output.report`), and into files (`output.files`,
`output.page`).
"""

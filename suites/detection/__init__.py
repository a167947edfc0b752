"""Does the conformance suite notice a server that is wrong?

A suite that passes a good server proves little: it may be looking at nothing. Here are servers
with one thing wrong each, a mistake that real servers have made, and the case that must catch it:

    python -m suites.detection                       every variant against its case, as a table
    python -m suites.detection.broken NAME HOST PORT the variant itself, to be looked at by hand
    python -m suites.detection.naive HOST PORT       the one-shot server that a tutorial ends with

Not here: the cases (`suites.conformance`), which know nothing of these servers.
"""

"""How fast is this server, beside others that do the same work?

Ratios measured side by side in one run are the currency: absolute figures drift with the machine,
its neighbours and the hour. See `benchmarks.cli` for the commands and docs/understand/performance.md for
what came out.

Not installed with the package: `python -m benchmarks` runs from a clone. Peers' libraries come
with the extra `bench`; whatever is missing is skipped, and said to be.
"""

"""Is a server, or a client, as it must be? Programs that judge: `python -m suites.conformance --help`, ...

`conformance` and `simulation` are for third parties too. The tests of them all are in `tests/suites/`:
what is here is what runs.
"""

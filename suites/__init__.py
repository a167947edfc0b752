"""Is a server, or a client, as it must be? Programs that judge: `python -m suites.conformance --help`, ...

Their tests are in `tests/suites/`: what is here is what runs.
"""

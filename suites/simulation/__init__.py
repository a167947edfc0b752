"""What happens to the real server and the real clients when everything goes wrong, in every order?

A deterministic simulation: server and clients, unchanged, in one process, over a kernel, a network, a
clock and random numbers that are made up. `python -m suites.simulation --help`; docs/understand/simulation.md.
"""

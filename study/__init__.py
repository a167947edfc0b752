"""STUDY: the state machines made visible. Imports `protocol` and nothing else of the project.

The tables as diagrams and as a page of the docs; a trace, recorded, explained, replayed and shown. The
library packages know only `protocol.states.Observer` of it. `multiconn.commands.study` prints.
"""

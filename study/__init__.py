"""STUDY: what can be seen of the state machines. Imports `protocol` and nothing else of the project.

The tables as diagrams and as a page of the docs; a trace, recorded, explained, replayed and shown. The
library packages know nothing of what is here beyond `protocol.states.Observer`. What `python -m study` prints
is `multiconn.commands.study`'s affair.
"""

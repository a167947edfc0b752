"""LOAD: how fast is a server, and is it right?

Mostly pure parts, and few with I/O. Start reading at `engine.schedule` (when each request is meant to
leave) and `measure.ledger` (what became of it); then `engine.senders` and `engine.collector`, the two ways past
a connection, `engine.slots`, which opens them, and `engine.runner`, which ties them together. All that
watches a run, on the terminal or into files, is a `measure.intervals.Sink`.
"""

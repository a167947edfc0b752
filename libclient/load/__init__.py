"""LOAD: how fast is a server, and is it right?

Mostly pure parts, and few with I/O. Start reading at `load.schedule` (when each request is meant to
leave) and `load.stats` (what became of it); then `load.sender` and `load.collector`, the two ways past
a connection, `load.places`, which opens them, and `load.runner`, which ties them together. All that
watches a run, on the terminal or into files, is a `load.progress.Sink`.
"""

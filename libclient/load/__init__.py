"""LOAD: how fast is a server, and is it right?

Pure parts and one with I/O. Start reading at `load.stats` (what became of every request), then
`load.runner` (the only I/O), then `load.cli`.
"""

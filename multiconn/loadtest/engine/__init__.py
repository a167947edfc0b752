"""ENGINE: how is the load put on the server?

Start reading at `engine.schedule` (when each request is meant to leave) and `engine.workload` (what is sent); then
`engine.senders` and `engine.collector`, the two ways past a connection, `engine.slots`, which opens them, and
`engine.runner`, which ties them together.
"""

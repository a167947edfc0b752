"""ENGINE: how is the load put on the server?

`engine.schedule` and `engine.workload` say what leaves when, `engine.senders` and `engine.collector` send and count it,
`engine.slots` has the connections, and `engine.runner` takes a run through its phases.
"""

"""LOAD TEST: how fast is a server, and is it right?

Rooms, each of which imports those above it alone:

    measure/    histograms, the accounting, intervals, the state of the generator and its machine
    judge/      the verdict, thresholds, names of errors, comparisons: pure, figures in and opinions out
    engine/     the load: schedule, workload, senders, slots, collector, runner
    process/    several generators, a server of our own, signals
    output/     records, files, the page, the report, the dashboard

All share `config` (the options), `outcome` (the results), `sink` (the watchers of a run) and `profile`.
Start reading at `engine.schedule` (when each request is meant to leave) and `measure.ledger` (its outcome); then
`engine.senders` and `engine.collector`, the two ways past a connection, and `engine.runner`, which ties them together.

Not here: the command line, printing, exit codes (`multiconn.commands`).
"""

"""LOAD TEST: how fast is a server, and is it right?

Rooms, each of which imports those above it alone:

    measure/    histograms, the accounting, intervals, how the generator and its machine do
    judge/      the verdict, thresholds, names of errors, comparisons: pure, figures in and opinions out
    engine/     the load: schedule, workload, senders, slots, collector, runner
    process/    several generators, a server of our own, signals
    output/     records, files, the page, the report, the dashboard

`config` (what was asked for), `outcome` (what came out), `sink` (what watches a run) and `profile` belong to them all.
Start reading at `engine.schedule` (when each request is meant to leave) and `measure.ledger` (what became of it); then
`engine.senders` and `engine.collector`, the two ways past a connection, and `engine.runner`, which ties them together.

Not here: the command line, printing, exit codes (`multiconn.commands`).
"""

"""Children of their own for everything that opens or writes H.264, MP4 and JPEG.

Beside `simulated` this is the only room that imports PyAV. Each module with a `main` is a program,
`python -m edge_agent.media.NAME`: `tap` (live pictures of a running recording), `thumbnail`, `clip`, `compare`.
The agent starts them, talks to them through pipes and never imports them, so that it stays small and a damaged file or
a codec's crash ends a child, not the agent. They run niced, because recording outranks viewing, and die with the
process that started them.

Exit codes: 0, 1 with one line on stderr that says what could not be done, 2 for wrong arguments.
"""

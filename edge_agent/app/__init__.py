"""The hallway: the composition root and what joins two rooms or more.

`house.py` builds everything, holds the one TaskGroup and the order of stopping. Beside it stand the implementations of
`ports.py`: a recording is a process of the rpicam room that writes into the storage room (`recording.py`), a live run
feeds the web room (`showing.py`), a job of a command asks several rooms (`jobs.py`), an answer leaves by several doors
(`outlet.py`), stored footage is sent by a child of the offload room (`offloading.py`). Nothing here decides: decisions
come from the core as effects.
"""

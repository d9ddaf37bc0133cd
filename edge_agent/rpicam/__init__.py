"""The room of the camera program, rpicam-vid: what to call it with, how it lives and dies, and what it says.

`argv` and `messages` are pure; `probe` asks the installed program what it can do; `process` spawns, adopts and stops;
`mjpeg` and `source` take the live pictures from its stdout. Nothing here decides when to record or when to try again,
and no footage passes through: a recording program writes its segments itself and depends on nothing of the agent.

The program belongs to the Raspberry Pi project and is only ever a child process. Facts about it that are stated as
measured were seen with rpicam-vid 1.5.3, 1.8.1 and 1.13.0 (FFmpeg 5.1 and 7.1) on virtual cameras.
"""

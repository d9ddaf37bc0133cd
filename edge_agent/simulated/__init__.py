"""A program with rpicam-vid's command line, for machines without cameras and for tests.

`python -m edge_agent.simulated.rpicam_vid` takes the options of the real rpicam-vid, refuses what the real one refuses,
prints its stderr lines, answers its signals and dies with its exit codes; the pictures are drawn here. libav's own
muxers write the output, so a `tee` string works here if, and only if, it works there. This program knows nothing of the
agent, which starts it like the real one: everything it is told beyond its arguments is in `EDGE_AGENT_SIM_*` variables
(module `settings`) and in the control file for faults (module `faults`).

Where it differs from the real one:

- One thread draws, encodes and writes. The real one has six buffers and encoder threads; here a late frame is made up
  for while it is less than six frames late, and dropped after that, with a hole in the timestamps as in the real one.
- JPEGs come from libavcodec, not libjpeg: `-q` is mapped to a quantiser of about the same strength, and the tables
  share one DQT and one DHT marker, which makes the header 542 bytes instead of 623.
- A bad value for a known key of `--libav-video-codec-opts` is refused when the encoder opens, with libav's reason but
  without naming the key; an unknown key is refused like the real one does.
- `--config` reads `key=value` lines only. Where the real one does not refuse them, `--metadata`, `--circular`,
  `--split`, `--save-pts`, `--keypress`, pausing and audio are taken and do nothing; there is no `udp://` for MJPEG.
- There is no VC4 hardware: it is a Pi 5, where `h264` and `h264_v4l2m2m` silently mean libx264.
- A camera taken away by the fault `no_camera` leaves the others their numbers; real ones would move up.
"""

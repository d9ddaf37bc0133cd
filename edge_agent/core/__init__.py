"""What the agent decides, as pure functions of their arguments.

No clock, no file, no await, no environment, no randomness, no logging and no third-party package: an instant comes in
with every event, and jitter with the configuration of the recorder. Frames and telemetry do not pass through here.
"""

"""The machine that the agent runs on: what it is, its clocks, its figures and its service manager.

The only place that reads a clock (`clock`) and that imports psutil (`telemetry`).
"""

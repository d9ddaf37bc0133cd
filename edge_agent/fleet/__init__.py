"""The tools that look at many agents: orders and their answers, the roster of a broker, and a pretended outside.

Everything here is fed with documents and told the time; who connects to the broker is the hallway's matter (`app`).
"""

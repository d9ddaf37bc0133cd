"""The broker: everything that speaks MQTT, and the broker that the agent brings along where none is configured.

`topics` builds and parses every topic, `client` is the only door to paho, `session` is one connection, `outbox` holds
what is to be sent, `uplink` keeps a session open, `claim` tells two agents with one device id apart, `intake` judges
what comes in, `doubts` asks the broker whether a command is retained where MQTT 3.1.1 does not show it, `answers` is
where results go and when, `greeting` is what every connection begins with, `gateway` joins them for the rest of the
house, `discovery` is Home Assistant's part (with `lookout`, for what an earlier layout left), `trial` is one try for
people and `broker` is a mosquitto as a child.

Payloads are JSON-ready dicts or bytes here: what they mean is `wire`'s matter, and what to do about a command is the
core's. Nothing in here may make a recording wait.
"""

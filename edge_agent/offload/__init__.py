"""Sending footage to an S3-compatible store, in a child of its own.

`python -m edge_agent.offload.sender` is told on its stdin where to send and then one file after another, and tells on
its stdout how far it came; `orders` is what the two say to each other. `store` is the only place that imports boto3
(an optional package: `pip install 'edge_agent[offload]'`), which takes 50 MB of memory: the agent never imports it, and
the child lives only while there is something to send. It is niced, because recording outranks it, dies with the
process that started it, and may be killed at any time: an upload goes on with the first part that is not in the store.

What is to be sent is not decided here: that is what lies in the archive, locked or a clip, without an `.uploaded` mark.
"""

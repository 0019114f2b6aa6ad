"""The monitor's view over HTTP and on Jupyter's event bus.

``handlers`` answers requests, ``events`` emits; ``openapi.yaml`` and ``events/*.yaml`` define their
forms. Nothing here decides or computes: the status object does.
"""

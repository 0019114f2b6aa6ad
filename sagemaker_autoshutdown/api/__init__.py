"""What others see of the monitor over HTTP and on Jupyter's event bus.

``handlers`` answers requests, ``events`` emits; ``openapi.yaml`` and ``events/*.yaml`` say what
either looks like. Nothing here decides or computes: the status object does.
"""

"""The fleet on AWS's own engines: no server, for any number of apps.

EventBridge Scheduler → SQS → Lambda → DynamoDB and S3; metrics by remote write. ``record.py`` is
the record that ``fleet run`` keeps in SQLite; ``pack.py`` (pure) turns it into bytes and back.
``handlers.py`` is what Lambda calls. ``policies.py`` says what the functions may do, and
``template.yaml`` is the stack; ``bundle.py`` makes the functions' code and ``deploy.py`` brings all
of it into an account. What is decided is decided where ``fleet run`` decides it.
"""

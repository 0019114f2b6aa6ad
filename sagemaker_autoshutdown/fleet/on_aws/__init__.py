"""The fleet on AWS's own services: no server, for any number of apps.

EventBridge Scheduler → SQS → Lambda → DynamoDB and S3; metrics by remote write. ``table.py`` keeps
the record that ``fleet run`` keeps in SQLite; ``pack.py`` (pure) turns it into bytes and back;
``holds.py`` keeps holds and the audit. Lambda calls ``handlers.py``. ``policies.py`` holds the
functions' rights, and ``template.py`` makes the stack's template; ``bundle.py`` makes the
functions' code, and ``deploy.py`` brings everything into an account. The modules of ``fleet run``
make the decisions.
"""

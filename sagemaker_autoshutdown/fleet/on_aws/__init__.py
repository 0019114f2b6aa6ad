"""The fleet on AWS's own engines: no server, for any number of apps.

EventBridge Scheduler → SQS → Lambda → DynamoDB and S3; metrics by remote write. ``table.py`` is
the record that ``fleet run`` keeps in SQLite; ``pack.py`` (pure) turns it into bytes and back;
``holds.py`` keeps holds and the audit. ``handlers.py`` is what Lambda calls. ``policies.py`` says
what the functions may do, and ``template.py`` makes the stack's template; ``bundle.py`` makes the
functions' code, and ``deploy.py`` brings everything into an account. Decisions are made where
``fleet run`` makes them.
"""

"""The fleet's record in AWS's own stores, for a fleet without a machine of its own.

``table.py`` keeps in DynamoDB and S3 what ``fleet run`` keeps in SQLite, under the same conditions.
``pack.py`` (pure) turns a record into bytes and back. Nothing calls them yet.
"""

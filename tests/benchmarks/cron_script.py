"""A stand-in for the cron script of AWS's samples: a Python process that calls a server, once."""

from __future__ import annotations

import json
import sys
import urllib.request

# The real script stops the instance with it, so it loads it at every run.
import boto3

if __name__ == "__main__":
    boto3.session.Session()
    with urllib.request.urlopen(sys.argv[1]) as answer:  # noqa: S310
        json.load(answer)

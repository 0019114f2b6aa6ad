"""The whole account, seen from outside: every app, who pays for it and who watches it.

The centre is pure: ``model.py`` (values), ``bill.py`` (what is billed once), ``coverage.py`` (who
shuts an app down) and ``advance.py``, which computes the next state and the costs since the last
sweep from the previous state, a sweep and the time. At the edge: ``sweep.py`` (AWS), ``reports.py``
(Prometheus), ``store.py`` (SQLite), ``config.py`` (the file), ``service.py`` (the loop of ``fleet
run``).
"""

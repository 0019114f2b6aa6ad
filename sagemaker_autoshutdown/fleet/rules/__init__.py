"""When a run is due: the admin's rules, and their verdicts on a sweep. Pure.

``model.py``: rules and the facts that they are judged by; ``hours.py``: outside hours;
``judge.py``: verdicts; ``file.py``: the tables ``[act]`` and ``[[rules]]`` of the configuration.
"""

"""When a run is due: the admin's rules, and what they say of what a sweep found. Pure.

``model.py``: rules and the facts that they are judged by; ``hours.py``: outside hours;
``judge.py``: verdicts; ``file.py``: the tables ``[act]`` and ``[[rules]]`` of the configuration.
"""

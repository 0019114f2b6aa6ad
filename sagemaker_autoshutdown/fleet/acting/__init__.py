"""Shutting down apps that nobody watches: one protocol, for ``fleet run`` and for Lambda.

Both rely on this:

1. Rules make a :class:`~.model.Verdict` for each run that is due (``fleet/rules/``, pure).
2. :func:`~.plan.plan` (pure) compares the verdicts with the stored holds, and makes
   :class:`~.model.Task` values: note, mark, keep, spare, stop, finish. It applies the limits of a
   sweep. A task is data: it may be sent, sent twice, late and in any order.
3. :func:`~.engine.act` carries tasks out. It trusts none: it reads the hold again, changes it only
   if its version is still the one that was read (:class:`~.protocols.Holds`), and observes the app
   again before it shuts it down.

A run has at most one :class:`~.model.Hold`. Its phases::

    (none) ──→ noted                       dry run: recorded once, nothing else happens
    (none) ──→ kept                        due, but a keep-alive or an exception holds it
    any open ─→ marked ──→ acting ──→ done
                  │  ↑        │
                  │  └────────┘            the call failed: retried after a back-off
                  └─→ spared ──→ marked    not due any more; if due again: a whole new warning

**One actor for each run.** Only the process that changed a hold from *marked* to *acting* may call
SageMaker, until the lease ends. Then another may take the hold over, and must observe the app
before it calls. SageMaker accepts no second deletion of an app that is being deleted, so there may
be two calls, but never two accepted deletions. DeleteApp names no run: an app that its owner
deletes and starts again between the last observation and the call (``engine.WINDOW``) is shut down.

**A crash between any two steps** leaves a hold that the next sweep continues from. A hold that is
*marked*, but whose notice was not sent, is sent again, and its warning begins then. A hold that is
*acting* past its lease is observed, and finished or retried. A *spared* hold whose tag is still on
loses the tag.

**Clocks.** The warning is measured on SageMaker's own clock (the ``Date`` of its answers), so a
sweeper with a wrong clock shortens nobody's warning. Leases are measured on the sweepers' clocks;
a wrong one costs a second call, never a second deletion.
"""

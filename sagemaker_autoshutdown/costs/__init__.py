"""What the user's instances cost: prices, billing arithmetic, the ledger, and their facade.

``tracker`` is what the rest of the product talks to.
"""

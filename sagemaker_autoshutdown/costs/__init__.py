"""Costs of the user's instances: prices, billing arithmetic, the record, and their facade.

The rest of the product uses ``tracker``.
"""

"""Computes cost as a pure function of the record."""

"""The record on disk: one SQLite file, its schema, and how it is written and read."""

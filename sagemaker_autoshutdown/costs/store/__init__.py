"""The record on disk: one SQLite file, its schema, and what is written to it and read from it."""

"""Generates files that the package ships but need not generate at run time."""

"""Checks that find problems with an installation. Used by ``doctor`` and by the installer."""

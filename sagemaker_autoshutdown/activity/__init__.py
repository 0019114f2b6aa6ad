"""Evidence of use from Jupyter and this machine, read and turned into ``Work``."""

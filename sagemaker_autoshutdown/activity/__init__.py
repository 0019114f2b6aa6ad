"""Evidence of use: what Jupyter and this machine say, read and turned into ``Work``."""

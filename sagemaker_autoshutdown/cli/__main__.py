"""``python -m sagemaker_autoshutdown.cli``, if no script is on the path."""

import sys

from . import main

sys.exit(main())

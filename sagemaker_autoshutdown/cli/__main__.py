"""``python -m sagemaker_autoshutdown.cli``, where no script is on the path."""

import sys

from . import main

sys.exit(main())

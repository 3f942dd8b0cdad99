"""``python -m fastae`` is the command ``fastae``."""

import sys

from .cli import main

sys.exit(main())

"""`python -m ripstop`: the command line, where no script is installed."""

import sys

from ripstop.cli import main

sys.exit(main())

"""`python -m keras_lm` is `keras-lm`."""

import sys

from keras_lm.cli.main import main

sys.exit(main())

"""The web page: a client of both services."""

import os

# Gradio reads both when it is imported. The second stops it from aggregating its own events with
# pandas after each of them, for a statistics page that is switched off.
os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
os.environ.setdefault("GRADIO_ANALYTICS_CACHE_FREQUENCY", "1000000000")

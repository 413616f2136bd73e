"""People to both services: the web page."""

import os

# Gradio reads both while it loads. The second keeps it from summing up its own events in a pandas
# table after each of them, for a page of statistics that is switched off.
os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
os.environ.setdefault("GRADIO_ANALYTICS_CACHE_FREQUENCY", "1000000000")

"""People to both services: the web page."""

import os

# Gradio reads this once, when it is first imported.
os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")

"""People to both services: the web page."""

"""Calls to an endpoint: paid, limited, counted, and tried again where that helps."""

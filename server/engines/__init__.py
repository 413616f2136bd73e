"""One engine: started, watched, called. All engines have one interface."""

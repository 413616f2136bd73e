"""One engine: started, watched, called. Every engine looks the same from outside."""

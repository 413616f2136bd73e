"""What a service puts around its routes. Loads FastAPI and uvicorn, so only services import it."""

# One image family, a target for each service:  docker build --target server -t galen-server .
# judge and webui carry no torch; server and trainer carry torch and vLLM (CPU build).
# deploy/check_image.py runs these same lines without Docker.

FROM python:3.11-slim AS base
ENV PYTHONUNBUFFERED=1 PIP_NO_CACHE_DIR=1 PATH=/app/.venv/bin:$PATH \
    HF_HUB_OFFLINE=1 HF_HUB_DISABLE_TELEMETRY=1 VLLM_NO_USAGE_STATS=1 GRADIO_ANALYTICS_ENABLED=False
RUN apt-get update && apt-get install -y --no-install-recommends libnuma1 && rm -rf /var/lib/apt/lists/*
RUN useradd --create-home --uid 10001 galen
WORKDIR /app
COPY requirements requirements
COPY deploy/install.py deploy/install.py
COPY pyproject.toml pyproject.toml
ENTRYPOINT ["python", "-m", "cli.main"]

FROM base AS light
RUN python deploy/install.py --services --dependencies
COPY . .
RUN mkdir -p .galen runs && chown -R galen .galen runs
USER galen

FROM base AS full
RUN python deploy/install.py --dependencies
COPY . .
RUN mkdir -p .galen runs && chown -R galen .galen runs
USER galen

FROM light AS judge
EXPOSE 8001
HEALTHCHECK --start-period=30s CMD ["python", "deploy/healthcheck.py", "http://127.0.0.1:8001/readyz"]
CMD ["judge", "serve", "configs/demo.yaml", "--set", "judge.host=0.0.0.0"]

FROM light AS webui
EXPOSE 7860
HEALTHCHECK --start-period=30s CMD ["python", "deploy/healthcheck.py", "http://127.0.0.1:7860/healthz"]
CMD ["webui", "serve", "configs/demo.yaml", "--set", "webui.host=0.0.0.0"]

FROM full AS server
EXPOSE 8000
HEALTHCHECK --start-period=300s CMD ["python", "deploy/healthcheck.py", "http://127.0.0.1:8000/readyz"]
CMD ["server", "serve", "configs/demo.yaml", "--set", "server.host=0.0.0.0"]

FROM full AS trainer
CMD ["train", "configs/recipes/demo/sft.yaml"]

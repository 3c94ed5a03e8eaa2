# The workbench with its scenarios and notebooks, for docker-compose.yml. It runs from its checkout,
# so the checkout is what the image holds.
FROM python:3.11-slim
WORKDIR /workbench
COPY requirements.lock ./
RUN pip install --no-cache-dir --no-deps --require-hashes --requirement requirements.lock
COPY pyproject.toml README.md LICENSE ./
COPY workbench workbench
COPY loadtests loadtests
COPY notebooks notebooks
RUN pip install --no-cache-dir --no-deps --no-build-isolation --editable .
# Compose may choose another user than this one, who then has no home of its own.
ENV HOME=/tmp
USER 1000:1000

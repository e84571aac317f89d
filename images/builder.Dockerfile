# What other images are built with, and never contain: uv and hatchling, by hash.
ARG BASE=python:3.11.16-slim-bookworm@sha256:a36c24f9cbdf4fd0f52d67f0823eeac19c2028c637cecc392d97f980d4fec56b
FROM ${BASE}
COPY images/builder.txt /build/builder.txt
RUN --mount=type=secret,id=index-settings --mount=type=secret,id=index-ca \
    python3 -m venv /build/tools \
    && { [ ! -f /run/secrets/index-settings ] || . /run/secrets/index-settings; } \
    && /build/tools/bin/pip install --no-cache-dir --disable-pip-version-check --require-hashes \
        --only-binary :all: -r /build/builder.txt
ENV PATH=/build/tools/bin:/usr/local/bin:/usr/bin:/bin

# Python, an empty environment for packages, and the user that everything runs as.
# BASE: any Debian with Python 3.11, 3.12 or 3.13 and its venv module.
ARG BASE=python:3.11.16-slim-bookworm@sha256:a36c24f9cbdf4fd0f52d67f0823eeac19c2028c637cecc392d97f980d4fec56b
FROM ${BASE}
# The user has a name: PyTorch asks for it.
RUN groupadd --gid 10001 tagloom \
    && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /tmp --shell /usr/sbin/nologin tagloom \
    && python3 -m venv --without-pip /opt/tagloom \
    && mkdir -p /var/cache/tagloom \
    && chown 10001:10001 /var/cache/tagloom
# The root file system may be read-only: only /tmp and /var/cache/tagloom are written to.
ENV PATH=/opt/tagloom/bin:/usr/local/bin:/usr/bin:/bin \
    HOME=/tmp \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONSAFEPATH=1 \
    PYTHONUNBUFFERED=1 \
    XDG_CACHE_HOME=/var/cache/tagloom
WORKDIR /
USER 10001:10001

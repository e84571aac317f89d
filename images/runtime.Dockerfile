# Python and PyTorch: the one large layer, below every image that computes. It changes with its
# requirements alone, not with Tagloom's code.
ARG BUILDER=tagloom/builder:0.1.0
ARG BASE=tagloom/python:0.1.0

FROM ${BUILDER} AS builder
COPY images requirements.txt /build/

FROM ${BASE}
USER root
RUN --mount=type=bind,from=builder,source=/build,target=/build \
    --mount=type=cache,target=/var/cache/uv \
    --mount=type=secret,id=index-settings --mount=type=secret,id=index-ca \
    /build/install.py runtime
ENV NUMBA_CACHE_DIR=/var/cache/tagloom/numba \
    TRITON_CACHE_DIR=/var/cache/tagloom/triton \
    TORCHINDUCTOR_CACHE_DIR=/var/cache/tagloom/inductor
LABEL org.opencontainers.image.title="Tagloom runtime" \
      org.opencontainers.image.description="Python, PyTorch and numba, below Tagloom's images that compute"
USER 10001:10001

# The MinIO server alone, built from its pinned source by tools/minio_build.py; the build context is
# the folder that holds the program. MinIO is AGPL: it is a program beside Tagloom, no part of it.
FROM scratch
COPY minio /minio
LABEL org.opencontainers.image.title="MinIO" \
      org.opencontainers.image.description="Object store for Tagloom's single-node overlay" \
      org.opencontainers.image.licenses="AGPL-3.0-only"
ENV MINIO_BROWSER=off MINIO_UPDATE=off HOME=/tmp
EXPOSE 9000
USER 10001:10001
ENTRYPOINT ["/minio"]
CMD ["server", "/data", "--address", ":9000"]

# What a training Job or TrainJob runs, under torchrun (PET_* variables): the trainer's image with the
# compiler and headers that Triton compiles its kernels' launchers with.
ARG BASE=tagloom/trainer:0.1.0
FROM ${BASE}
USER root
# Python's own images bring Python.h; Debian's Python has it in a package.
RUN header='import os, sysconfig; print(os.path.join(sysconfig.get_path("include"), "Python.h"))' \
    && apt-get update -q \
    && apt-get install -q -y --no-install-recommends gcc libc6-dev \
        $([ -f "$(python3 -c "$header")" ] || echo libpython3-dev) \
    && [ -f "$(python3 -c "$header")" ] \
    && rm -rf /var/lib/apt/lists/* /var/cache/apt/*.bin /var/log/apt /var/log/dpkg.log
LABEL org.opencontainers.image.title="Tagloom training" \
      org.opencontainers.image.description="Trains one run, in one pod or in several"
USER 10001:10001
ENTRYPOINT ["python", "-m", "services.trainer.launch.container"]

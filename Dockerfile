# One image for every program and command but the demo. No compiler in it, and no root.
#   docker build -t stream-worker .

FROM python:3.13-slim AS build
RUN python -m venv /opt/stream-worker
ENV PATH=/opt/stream-worker/bin:$PATH PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
WORKDIR /src
COPY requirements/daily.txt requirements/
RUN pip install --only-binary :all: --require-hashes -r requirements/daily.txt
COPY pyproject.toml hatch_build.py README.md LICENSE CHANGELOG.md ./
COPY config config
COPY models models
COPY producers producers
COPY stream_worker stream_worker
RUN pip install --no-deps --no-build-isolation . && pip uninstall --yes hatchling ziglang

FROM python:3.13-slim
COPY --from=build /opt/stream-worker /opt/stream-worker
ENV PATH=/opt/stream-worker/bin:$PATH PYTHONUNBUFFERED=1 MPLCONFIGDIR=/tmp
USER 10001:10001
WORKDIR /tmp
ENTRYPOINT ["stream-worker"]
CMD ["--help"]

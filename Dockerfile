# syntax=docker/dockerfile:1
# The image holds one file: a static binary that runs as a user without a name. What is built and checked here is what
# .ci/build-image builds and checks without Docker.

# The same version as rust-toolchain.toml; a test compares.
ARG RUST_VERSION=1.95.0

FROM rust:${RUST_VERSION}-slim-bookworm AS build
# The toolchain of the image, whatever components rust-toolchain.toml lists for development.
ARG RUST_VERSION
# It lists in the binary the crates that it is made of.
ARG CARGO_AUDITABLE_VERSION=0.7.7
ENV RUSTUP_TOOLCHAIN=${RUST_VERSION} CARGO_TERM_COLOR=never
RUN apt-get update \
 && apt-get install --no-install-recommends --yes musl-tools binutils lld \
 && rm -rf /var/lib/apt/lists/* \
 && rustup target add "$(uname -m)-unknown-linux-musl" \
 && cargo install cargo-auditable --version ${CARGO_AUDITABLE_VERSION} --locked

WORKDIR /src
COPY . .
# Optional features, separated by commas, such as otel.
ARG FEATURES=""
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target \
    .ci/build-image --musl --features "$FEATURES" --output /out/manager

FROM scratch
ARG VERSION=0.1.0
ARG REVISION=""
LABEL org.opencontainers.image.title="workspaces-controller" \
      org.opencontainers.image.description="Validates WorkspaceKinds and Workspaces, runs them and routes people to them" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
COPY --from=build /out/manager /manager
USER 65532:65532
EXPOSE 9443 8081 8080
ENTRYPOINT ["/manager"]

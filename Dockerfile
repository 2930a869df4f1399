# Two images from one build: `--target serin` (the server and its command line), `--target testbed` (the demo's
# upstreams and load).

FROM rust:1.95.0-slim-bookworm AS build
WORKDIR /build
ENV CARGO_PROFILE_RELEASE_STRIP=symbols
# First the dependencies alone: a layer that stays until a manifest, the protos or the build script change.
COPY Cargo.toml Cargo.lock build.rs ./
COPY proto proto
COPY testbed/Cargo.toml testbed/
RUN mkdir -p src testbed/src examples/demo \
    && echo 'fn main() {}' | tee src/main.rs testbed/src/main.rs examples/demo/main.rs >/dev/null \
    && touch src/lib.rs testbed/src/lib.rs \
    && cargo build --release --locked --workspace --bins
COPY src src
COPY testbed/src testbed/src
# Cargo looks at times: what was just copied may be older than the stubs.
RUN find src testbed/src -name '*.rs' -exec touch {} + \
    && cargo build --release --locked --workspace --bins

FROM debian:12.12-slim AS base
RUN useradd --system --uid 10001 --home-dir /nonexistent --shell /usr/sbin/nologin serin \
    && install -d -o serin /data /specs
USER 10001
STOPSIGNAL SIGTERM

FROM base AS testbed
COPY --from=build /build/target/release/serin-testbed /usr/local/bin/
ENTRYPOINT ["serin-testbed"]

# Last, so that a plain `docker build .` gives the server.
FROM base AS serin
# The roots that https:// hooks and sinks are checked against.
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/
COPY --from=build /build/target/release/serin /usr/local/bin/
VOLUME /data
EXPOSE 18000 18001 18002
HEALTHCHECK --interval=5s --timeout=3s --start-period=5s CMD ["serin", "healthcheck"]
ENTRYPOINT ["serin"]
CMD ["serve", "--specs", "/specs", "--data", "/data", "--xds", "0.0.0.0:18000"]

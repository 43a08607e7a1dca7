# syntax=docker/dockerfile:1
# One static binary and nothing else: no shell, no libc, no package manager. The CA roots are in the binary.

FROM rust:1.95-alpine AS source
RUN apk add --no-cache musl-dev
WORKDIR /src
COPY . .

FROM source AS build
# The build has no .git to ask: --build-arg GPT_LOAD_COMMIT="$(git rev-parse --short=12 HEAD)".
ARG GPT_LOAD_COMMIT=""
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target,id=gpt-load-target \
    cargo build --release --locked --bin gpt-load && install -D target/release/gpt-load /out/gpt-load

FROM source AS build-mock
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target,id=mock-provider-target \
    cargo build --release --locked --package mock-provider && install -D target/release/mock-provider /out/mock-provider

# For development: `docker compose --profile dev up`.
FROM scratch AS mock-provider
COPY --from=build-mock /out/mock-provider /mock-provider
USER 65532:65532
ENTRYPOINT ["/mock-provider"]

# The last stage is what `docker build` makes.
FROM scratch AS gpt-load
LABEL org.opencontainers.image.title="gpt-load" \
      org.opencontainers.image.description="Spreads OpenAI-compatible requests over many API keys" \
      org.opencontainers.image.licenses="MIT"
COPY --from=build /out/gpt-load /gpt-load
# keys.txt and .env are mounted here. Nothing is written, so a read-only root will do.
WORKDIR /app
USER 65532:65532
EXPOSE 3000
HEALTHCHECK --interval=30s --timeout=10s --start-period=5s --retries=3 CMD ["/gpt-load", "healthcheck"]
ENTRYPOINT ["/gpt-load"]

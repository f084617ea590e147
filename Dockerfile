# Isocenter as a container; docker-compose.yml builds it and wires it to Postgres, MinIO, Redis and a demo PACS.
# The server runs as it stands in src (Node strips the types); only the viewer is built.

FROM node:24-slim AS viewer
WORKDIR /app
COPY package.json package-lock.json ./
COPY web-viewer/package.json web-viewer/
RUN npm ci
COPY web-viewer web-viewer
RUN npm run viewer

FROM node:24-slim
WORKDIR /app
COPY package.json package-lock.json ./
COPY web-viewer/package.json web-viewer/
# What the built viewer was made of is not needed any more, nor what only tests and checks use.
RUN npm ci --omit=dev --workspaces=false && npm cache clean --force
COPY LICENSE ./
COPY src src
COPY storage storage
COPY --from=viewer /app/web-viewer/dist web-viewer/dist
RUN mkdir /data && chown node:node /data

ENV NODE_ENV=production \
    MALLOC_ARENA_MAX=2 \
    ISOCENTER_DATA=/data
USER node
VOLUME /data
EXPOSE 8080 11112
# SIGTERM drains: associations finish, then the process ends.
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=5s --timeout=5s --start-period=60s --retries=6 \
    CMD ["node", "-e", "fetch(`http://127.0.0.1:${process.env.HTTP_PORT ?? 8080}/health/ready`).then((r) => process.exit(r.ok ? 0 : 1), () => process.exit(1))"]
CMD ["node", "--max-semi-space-size=4", "src/cli.ts", "start"]

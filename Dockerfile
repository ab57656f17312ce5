# The whole program with its pinned packages. Untried: see docs/deploy.md, "In containers".
FROM python:3.12-slim

# Not root: what it writes on the host belongs to this user.
RUN useradd --create-home --uid 1000 pointerprint
WORKDIR /opt/pointerprint
COPY . .
# Editable: the flows' entrypoints are files of the checkout.
RUN pip install --no-cache-dir --constraint constraints.txt --editable .

USER pointerprint
WORKDIR /site
EXPOSE 4200
# Whether the server answers; `pointerprint health` says more, but before the first day it isn't well.
HEALTHCHECK --interval=1m --timeout=10s --start-period=5m \
    CMD ["python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:4200/api/health')"]
CMD ["pointerprint", "serve"]

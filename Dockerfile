# TLIMB with the libraries it was tested with:  docker build -t tlimb .
FROM python:3.11-slim

# Nextflow measures its tasks with ps.
RUN apt-get update && apt-get install -y --no-install-recommends procps && rm -rf /var/lib/apt/lists/*

WORKDIR /opt/tlimb
COPY requirements.lock .
RUN pip install --no-cache-dir --requirement requirements.lock
COPY pyproject.toml README.md LICENSE ./
COPY tlimb tlimb
COPY tui tui
COPY grammar grammar
COPY recipes recipes
COPY nf_templates nf_templates
RUN pip install --no-cache-dir --no-deps .

# Runs under the user's own id, which has no home here.
ENV HOME=/tmp TLIMB_CACHE=/tmp/tlimb
CMD ["tlimb", "--help"]

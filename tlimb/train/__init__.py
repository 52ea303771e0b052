"""One `stage.yaml` -> Lightning -> results: what the local engine and every Nextflow task call (`python -m tlimb.train --help`)."""

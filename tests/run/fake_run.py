"""`tlimb run` as it is, but for its workers, which train nothing (fake_worker.py)."""

import sys
from functools import partial
from pathlib import Path

from tlimb import cli
from tlimb.run import whole

WORKER = (sys.executable, str(Path(__file__).with_name("fake_worker.py")))

whole.run_local = partial(whole.run_local, worker_command=WORKER)
cli.main(["run", *sys.argv[1:]])

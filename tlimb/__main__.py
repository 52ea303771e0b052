"""`python -m tlimb`."""

from tlimb.cli import main

main()

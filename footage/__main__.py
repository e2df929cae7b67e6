"""`python -m footage`: the command line."""

from footage.cli import main

main()
